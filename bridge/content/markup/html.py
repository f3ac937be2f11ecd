"""Sanitises HTML from clients and other sites, and finds unsafe HTML in what the site renders."""

from __future__ import annotations

import html as stdlib_html
import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import nh3

from bridge.content.file import printable
from bridge.content.markup import editors
from bridge.errors import InvalidRequest
from bridge.micropub.post import unescape, without_endless_references

#: The elements of a formula (MathML Core 3): those that draw.
_FORMULA = frozenset(
    {
        *("math", "semantics", "mrow", "mi", "mn", "mo", "mtext", "ms", "mspace", "msup", "msub"),
        *("msubsup", "mfrac", "msqrt", "mroot", "mover", "munder", "munderover", "mmultiscripts"),
        *("mprescripts", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom"),
    }
)
#: Elements that show something and do nothing. nh3's own list, audio and video, tables' feet, and
#: formulas.
TAGS = (
    frozenset(nh3.ALLOWED_TAGS)
    | {"audio", "video", "source", "track", "picture", "section", "tfoot", "main"}
    | _FORMULA
)
_EVERYWHERE = {"class", "id", "title", "lang", "dir"}
_MEDIA = {"src", "controls", "loop", "muted", "poster", "preload", "width", "height"}
ATTRIBUTES: dict[str, set[str]] = {
    **{tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()},
    "a": {"href", "hreflang", "rel", "name", "type"},
    "img": {"src", "alt", "width", "height", "align", "loading", "srcset", "sizes"},
    "audio": _MEDIA,
    "video": _MEDIA,
    "source": {"src", "type", "srcset", "sizes", "media"},
    "track": {"src", "kind", "srclang", "label", "default"},
    "data": {"value"},
    "time": {"datetime"},
    "ol": {"start", "type", "reversed"},
    "li": {"value"},
    "details": {"open"},
    "math": {"display"},
    "mi": {"mathvariant"},
    "mo": {"stretchy", "fence", "separator", "form", "largeop", "movablelimits"},
    "mover": {"accent"},
    "munder": {"accentunder"},
    "mfrac": {"linethickness"},
    "mspace": {"width"},
    "mtd": {"columnspan", "rowspan"},
    **{tag: {"align"} for tag in ("p", "div", "h1", "h2", "h3", "h4", "h5", "h6")},
    "*": _EVERYWHERE,
}
SCHEMES = frozenset({"http", "https", "mailto", "tel", "sms", "geo", "xmpp", "webcal", "magnet"})
_URL_ATTRIBUTES = frozenset({"href", "src", "poster", "cite"})
#: A URL of a ``srcset`` with its descriptors, as browsers read it: a URL may contain commas, but
#: not end with one, and parentheses may contain them (HTML 4.8.4.3.2).
_CANDIDATE = re.compile(
    r"(?P<url>[^ \t\n\f\r,](?:[^ \t\n\f\r]*[^ \t\n\f\r,])?)"
    r"(?:,++|(?P<descriptors>(?:[^,(]++|\([^)]*+(?:\)|\Z))*+))"
)

#: Allowed relations of links. Any other makes a statement about the page: ``me`` makes the target
#: another home of the owner's, ``webmention``, ``token_endpoint`` and their like make it theirs, as
#: parsers of microformats take ``<a rel>`` for ``<link rel>`` (mf2 parsing 1.4).
_RELATIONS = frozenset(
    {"nofollow", "noopener", "noreferrer", "ugc", "sponsored"}
    | {"tag", "bookmark", "license", "external", "footnote", "help", "next", "prev"}
)
#: Roots and properties of microformats2, which declare a page's author and address; and those of
#: classic microformats, which parsers still read in themes with nothing newer.
_MICROFORMAT = re.compile(
    r"(?:h|p|u|dt|e)-.*[a-z].*"
    r"|adr|geo|hatom|hentry|hfeed|hnews|hproduct|hrecipe|hresume|hreview|hreview-aggregate"
    r"|vcalendar|vcard|vevent|vfeed|xfolkentry"
    r"|author|entry-(?:title|content|summary)|published|updated",
    re.IGNORECASE | re.DOTALL,
)
#: Elements of a post get names of their own, which no script of the theme looks for.
_ID_PREFIX = "user-content-"
_NAMES_ONE = frozenset({"id", "name"})

_NAME_AND_VALUE = (
    r"""\s+{}[a-zA-Z][\w:-]*)"""
    r"""(?:\s*=\s*(?:"{}[^"<>]*)"|'{}[^'<>]*)'|{}[^\s"'<>=`]+)))?"""
)
_ANY_ATTRIBUTES = f"(?:{_NAME_AND_VALUE.format(*['(?:'] * 4)})*"
_ATTRIBUTE = re.compile(
    _NAME_AND_VALUE.format("(?P<name>", "(?P<double>", "(?P<single>", "(?P<bare>")
)
_TAG = re.compile(
    r"</(?P<end>[a-zA-Z][a-zA-Z0-9]*)\s*>|<!--(?!-?>)[^<>]*-->"
    rf"|<(?P<tag>[a-zA-Z][a-zA-Z0-9]*)(?P<attributes>{_ANY_ATTRIBUTES})\s*/?>"
)
# Python-Markdown aligns table cells and numbers code lines this way.
_HARMLESS_STYLE = re.compile(r"text-align:\s*(?:left|right|center);?")
_RAW_TEXT = re.compile(
    r"<(?P<tag>script|style|textarea|title|xmp|iframe|noscript|template)\b", re.IGNORECASE
)

_SHOWN = re.compile(r'<(?P<tag>img|video|audio)\b(?P<attributes>(?:[^<>"]|"[^"]*")*)>')
_ALTERNATIVE = re.compile(r'\balt="([^"]*)"')

_ANY_TAG = re.compile(r"</?[a-zA-Z]")
#: A tag whose element is opened again in every block until something closes it, read to its end
#: as a browser reads it.
_FORMATTING = re.compile(
    r"""<(?P<name>a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[ \t\n\f/>])
    (?P<attributes>(?:
        [ \t\n\f/]++
      | =?[^ \t\n\f/>=]++
        (?:[ \t\n\f]*+=[ \t\n\f]*+(?:"[^"]*+"|'[^']*+'|[^ \t\n\f"'>][^ \t\n\f>]*+)?+)?+
      | =
    )*+)""",
    re.VERBOSE | re.IGNORECASE,
)
_MOST_TAGS = 20_000
_BLOCKS = re.compile(
    r"<(?:/?(?:p|div|li|h[1-6]|blockquote|pre|table|tr|t[dh]|[uod]l|d[td]|section|article|figure|figcaption"
    r"|summary|details)|[bh]r)\b[^<>]*>",
    re.IGNORECASE,
)
#: Elements that no post may have, although they have content.
_ELSEWISE = re.compile(
    rf"<(?P<tag>iframe|input)\b(?P<attributes>{_ANY_ATTRIBUTES})\s*/?>", re.IGNORECASE
)
#: Elements of earlier versions of MathML, of which browsers draw the content only.
_EARLIER = frozenset({"menclose", "mfenced", "merror", "maction", "mlabeledtr", "mstack"})
#: In a formula, nh3 would remove what is not of it, with its words; elsewhere, what is of one.
_FORMULA_TAG = re.compile(
    rf"</?(?:{'|'.join(_FORMULA | _EARLIER)})\b{_ANY_ATTRIBUTES}\s*/?>", re.IGNORECASE
)
#: Elements whose text is for machines.
_WITHOUT_WORDS = {"script", "style", "annotation", "annotation-xml"}
_WEB = re.compile(r"(?:https?:)?//", re.IGNORECASE)
#: The limit for elements that are reopened, and the cost of one without attributes.
_MOST_REPEATED = 8_000_000
_ELEMENT = 30
#: Three equal elements are the most that are opened again (the "Noah's Ark clause" of HTML).
_ALIKE = 3
_NUMBERED = re.compile(r"&#(?:[0-9]+|x[0-9a-f]+);?", re.IGNORECASE)
_LONGEST_ESCAPE = len("&nbsp;")


def sanitise(html: str) -> str:
    """Remove scripts, styles and everything else that could act or impersonate the page's owner.

    What acts are scripts, event handlers, forms, frames and unusual URLs; what impersonates are
    link relations and microformats that declare an author or the site's owner. The result is
    balanced, so it cannot end the element that contains it, and printable: a character reference
    becomes its character, and ``&#1;`` would break the build of a feed. Raises
    :class:`InvalidRequest` for HTML that would take too long, or grow.
    """
    refuse_growing_html(html)
    worded = _with_substitutes(printable(html))
    refuse_growing_html(worded)
    clean = nh3.clean(
        worded,
        tags=set(TAGS),
        clean_content_tags=_WITHOUT_WORDS,
        attributes=ATTRIBUTES,
        attribute_filter=_filtered,
        url_schemes=set(SCHEMES),
        link_rel=None,
    )
    if len(clean) > _LONGEST_ESCAPE * len(html) + 10_000:
        raise InvalidRequest("This HTML has elements that are never closed: close them.")
    return printable(clean)


def _with_substitutes(html: str) -> str:
    """The HTML with what cannot be in a post as something that can: an embedded page as a link to
    it, a box to tick as a character, styles as the elements that they mean.
    """
    return _ELSEWISE.sub(_substitute, editors.with_elements(html))


def _substitute(match: re.Match[str]) -> str:
    attributes = {
        found["name"].lower(): found["double"] or found["single"] or found["bare"] or ""
        for found in _ATTRIBUTE.finditer(match["attributes"])
    }
    tag = match["tag"].lower()
    if tag == "input":
        is_box = attributes.get("type", "").lower() == "checkbox"
        return ("☑" if "checked" in attributes else "☐") if is_box else ""
    url = unescape(attributes.get("src", "")).strip()
    if tag != "iframe" or not _WEB.match(url):
        return ""
    _, _, shown = url.partition("//")
    label = unescape(attributes.get("title", "")) or shown.partition("?")[0].rstrip("/")
    address = url if url[0] != "/" else f"https:{url}"
    return f'<p><a href="{stdlib_html.escape(address)}">{stdlib_html.escape(label)}</a></p>'


def _filtered(tag: str, name: str, value: str) -> str | None:
    """An attribute's value as it is allowed; ``None`` to remove the attribute."""
    del tag
    if name in _ALLOWED_WORDS:
        return " ".join(_allowed_words(name, value)) or None
    if name in _NAMES_ONE:
        return _prefixed(value)
    if name == "href" and value.startswith("#") and len(value) > 1:
        return f"#{_prefixed(value[1:])}"
    if name == "headers":
        return " ".join(map(_prefixed, value.split()))
    # nh3 looks at the other URLs.
    if name == "srcset":
        return _safe_candidates(value) or None
    if name == "cite":
        return value if _is_safe_url(value) else None
    return value


def _safe_candidates(srcset: str) -> str:
    """A ``srcset`` without the candidates whose URLs are not allowed."""
    candidates = list(_CANDIDATE.finditer(srcset))
    safe = [each for each in candidates if _is_safe_url(each["url"])]
    if len(safe) == len(candidates):
        return srcset
    return ", ".join(f"{each['url']}{(each['descriptors'] or '').rstrip()}" for each in safe)


def _prefixed(name: str) -> str:
    return name if name.startswith(_ID_PREFIX) else _ID_PREFIX + name


#: Attributes whose value is a list of words, and which of these may stay.
_ALLOWED_WORDS: dict[str, Callable[[str], bool]] = {
    "rel": lambda word: word.lower() in _RELATIONS,
    "class": lambda word: _MICROFORMAT.fullmatch(word) is None,
}


def _allowed_words(name: str, value: str) -> list[str]:
    """Parsers disagree on what separates words, so any white space does; a character that
    :func:`printable` turns into a space counts, too.
    """
    return [word for word in printable(value).split() if _ALLOWED_WORDS[name](word)]


def refuse_growing_html(html: str) -> None:
    """Raise :class:`InvalidRequest` for HTML that would make a parser use far more memory than its
    size.

    A parser opens an unclosed ``<b>`` again in each following paragraph, and takes longer for each
    element the deeper it is. This counts opening tags wherever they are, because only a parser
    knows which of them are closed.
    """
    tags = sum(1 for _ in _ANY_TAG.finditer(html))
    if tags > _MOST_TAGS:
        raise InvalidRequest(f"This HTML has {tags} tags; a post may have {_MOST_TAGS}.")
    most = _MOST_REPEATED // (tags or 1)
    repeated, link, seen = 0, 0, Counter[str]()
    position = 0
    while repeated + link <= most and (match := _FORMATTING.search(html, position)):
        # Never beyond the tag's end at once: what looks like a value here may contain tags to a
        # parser.
        position = match.start() + 1
        size = _ELEMENT + len(match["attributes"])
        seen[match[0]] += 1
        if match["name"].lower() in {"a", "nobr"}:
            # Each of them closes the previous one.
            link = max(link, size)
        elif seen[match[0]] <= _ALIKE:
            repeated += size
    if repeated + link > most:
        raise InvalidRequest("This HTML has too much formatting for so many tags: split the post.")


def find_unsafe(html: str) -> frozenset[str]:
    """What :func:`sanitise` would remove from rendered Markdown; empty for harmless HTML.

    This is an allow-list: anything that is not recognised completely, down to each ``<``, is
    reported.
    """
    html = without_endless_references(html)
    found: set[str] = set()
    position = 0
    while (start := html.find("<", position)) >= 0:
        match = _TAG.match(html, start)
        if match and _is_safe_element(match):
            position = match.end()
        else:
            position = _end_of_unsafe(html, start)
            found.add(html[start:position])
    return frozenset(found)


def plain(html: str) -> str:
    """The text of some HTML without elements and attributes, for titles and slugs."""
    refuse_growing_html(html)
    spaced = _FORMULA_TAG.sub("", _BLOCKS.sub("\n", _with_substitutes(printable(html))))
    clean = nh3.clean(spaced, tags=set(), clean_content_tags=_WITHOUT_WORDS, link_rel=None)
    return unescape(clean)


def first_visible_element(html: str) -> tuple[str, str]:
    """For HTML without words: its first visible element (``img``, ``video`` or ``audio``) and an
    alternative text; each empty if there is none.
    """
    elements = list(_SHOWN.finditer(sanitise(printable(html))))
    texts = (_ALTERNATIVE.search(element["attributes"]) for element in elements)
    words = (unescape(found[1]).strip() for found in texts if found)
    return (elements[0]["tag"] if elements else ""), next(filter(None, words), "")


def _end_of_unsafe(html: str, start: int) -> int:
    """The end of the tag; for a script or style, of the whole element, whose text is active."""
    raw = _RAW_TEXT.match(html, start)
    ends = re.compile(f"</{raw['tag']}" if raw else ">", re.IGNORECASE)
    end = ends.search(html, start)
    return end.start() + 1 if end else len(html)


def _is_safe_element(match: re.Match[str]) -> bool:
    if match["end"]:
        return match["end"].lower() in TAGS
    tag = (match["tag"] or "").lower()
    if not tag:
        return True  # a comment
    if tag not in TAGS:
        return False
    allowed = ATTRIBUTES.get(tag, set()) | _EVERYWHERE
    return all(_is_allowed(found, allowed) for found in _ATTRIBUTE.finditer(match["attributes"]))


def _is_allowed(attribute: re.Match[str], allowed: set[str]) -> bool:
    name = attribute["name"].lower()
    value = attribute["double"] or attribute["single"] or attribute["bare"] or ""
    if name in _ALLOWED_WORDS and name in allowed:
        words = printable(_unescaped(value))
        return _allowed_words(name, words) == words.split()
    if name == "style":
        return _HARMLESS_STYLE.fullmatch(value) is not None
    if name == "srcset" and name in allowed:
        candidates = _unescaped(value)
        return _safe_candidates(candidates) == candidates
    return name in allowed and (name not in _URL_ATTRIBUTES or _is_safe_url(value))


def _unescaped(value: str) -> str:
    """A value without character references. The standard library removes those to control
    characters; these separate words for some parsers, so they become spaces here.
    """
    return unescape(_NUMBERED.sub(lambda found: found[0] if unescape(found[0]) else " ", value))


def _is_safe_url(value: str) -> bool:
    """Browsers ignore white space and control characters in a scheme, and so does this."""
    url = re.sub(r"[\x00-\x20\x7f-\xa0]+", "", unescape(value))
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        return False
    return scheme.lower() in SCHEMES or (not scheme and not re.match(r"[^/?#]*:", url))
