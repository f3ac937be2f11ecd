"""What a note's plain text may mean as Markdown, for :mod:`bridge.content.markup.note`."""

from __future__ import annotations

import re
from functools import cache

#: Ends a URL wherever it stands: quotation marks, and what ends a clause in Chinese or Japanese,
#: where no blank follows it, or in Hindi, Urdu, Armenian and Amharic.
_NEVER_IN_URL = r"\s<>\"`\\“”„«»‹›。、，．！？；：「」『』（）【】《》〈〉〔〕।॥۔።։\x00-\x20"
_URL = rf"[Hh][Tt][Tt][Pp][Ss]?://[^{_NEVER_IN_URL}]+"
#: An address without its scheme, as people often write it. A link may follow it, or its end if the
#: address is in its label.
_WWW = rf"[Ww][Ww][Ww]\.[^\W_][\w-]*\.\w(?:(?!\[[^\[\]\n]*\]\(|\]\()[^{_NEVER_IN_URL}])*"
#: Belongs to a URL inside of it, and to the sentence at its end.
URL_TAIL = ".,;:!?'‘’‚…*_~|^{[(؟،؛՞՜՝፧፣፤·"
_URL_TAIL_CLASS = re.escape(URL_TAIL)

_IN_TARGET = r"[^\s()<>\"`\\&]|&(?:amp;|(?!\#?\w+;))"
_SCHEMES = "(?:mailto|tel|sms|geo|xmpp|webcal|magnet|matrix|ftp|gemini|gopher|irc|ircs):"
_TARGET_STARTS = rf"(?:[Hh][Tt][Tt][Pp][Ss]?://|{_SCHEMES}|/(?!/)|\.\.?/|\#(?=\w))"
_TARGET = rf"{_TARGET_STARTS}(?:{_IN_TARGET}|\((?:{_IN_TARGET})*\))+"
#: Between angle brackets, where blanks and any parentheses may stand (CommonMark 6.3).
_ANGLED = rf"<{_TARGET_STARTS}(?:{_IN_TARGET}|[ ()])+>"
#: A backtick after a letter is an apostrophe, but in scripts that put no blanks between words.
_CODE = (
    r"(?<![`0-9A-Za-z\u00c0-\u0dff\u10a0-\u177f\u1800-\u1fff])(?:`(?![\s`])[^`\t\n]*[^`\s]`"
    r"|``(?!`)[^`\t\n]*(?:`(?!`)[^`\t\n]*)+``)(?!`)"
)
_ALT = r"(?:[^\[\]\\`\t]|\[[^\[\]\\`\t]*\])+(?<!\s)"
_LABEL = rf"(?:[^\[\]\\`\t]|{_CODE}|\[[^\[\]\\`\t]*\])+(?<!\s)"
_TITLE = r"(?:[ ](?:\"[^\"<>&\\`{}\t\n]*\"|'[^'<>&\\`{}\t\n]*'))?"
_LINK = rf"\[[^\[\]\\`*\t]*[^\[\]\\`*\s]\]\({_TARGET}\)"
#: A picture as HTML, which apps insert for an upload, with harmless attributes only.
_IMAGE = (
    r"<img(?=[^<>]*\ssrc=\"https?://)(?:\s+(?:src|alt|title|width|height|loading)"
    r"=\"[^\"<>\[\]\\`{}]*\")+\s*/?>"
)
#: What may stand before and after the stars of emphasised words, and what those words may begin and
#: end with: ``(*) a (*)`` and ``^a.*b.*$`` are stars. Chinese, Japanese, Korean, Thai, Lao,
#: Tibetan, Burmese and Khmer have no blanks there.
_UNSPACED = r"\u0e00-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
#: What ends a clause in Greek, Armenian, Arabic, Hindi and Amharic.
_CLAUSE = r"·;՛-՞։،؛؟۔।॥\u1361-\u1368"
#: Marks that belong to the letter before them: no letters to Python. Vowels of the scripts of India
#: and of Thailand are such marks, too.
_MARKS = (
    r"\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u0670\u06d6-\u06ed\u0900-\u109f"
    r"\u1780-\u17ff\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe00-\ufe0f\U000e0020-\U000e007f"
)
#: Each opens a quotation in some languages, and closes one in others: „so“, »so«, ”so”.
_QUOTES = "\"'“”„‘’‚«»‹›"
#: Marks of direction and the like, which are not seen, and common emoji.
_UNSEEN = r"\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_EMOJI = r"\u2615\u26a1\u2705\u2728\u274c\u2753\u2757\u2764\u2b50\ufe0f\U0001f000-\U0001faff"
_AROUND = rf"{_QUOTES}…—–/:{_UNSEEN}{_EMOJI}{_UNSPACED}-"
_BEFORE = rf"(\[¡¿{_AROUND}"
_AFTER = rf".,;!?%)\]{_CLAUSE}{_AROUND}"
_SIGNS = (
    r"$£¥©®°№™\u20a0-\u20cf\u2600-\u27bf\u2b00-\u2bff\u3001-\u303f\uff01-\uffef"
    r"\U0001f000-\U0001faff"
)
_FIRST = rf"[{_UNSEEN}]*+(?:[^\W_]|[\"'“„‘‚«»‹›(\[#@¿¡`{_SIGNS}])|(?:~~|_|…)(?=[^\W_])"
#: A single star before these may be a glob's.
_FIRST_OF_STRONG = rf"{_FIRST}|(?:[-+−–—→]|\.\.\.)[ ]?(?=[^\W_])"
_LAST = (
    rf"(?<=[^\W_])|(?<=[\"'“”’«»‹›.,;:!?)\]…—→%+`{_CLAUSE}{_MARKS}{_SIGNS}{_UNSEEN}])"
    r"|(?<=[^\W_]~~)|(?<=[^\W_]_)"
)
_STRESSED = rf"{_LINK}|{_CODE}|(?!{_LINK})\[|[^*`\[\t]"
#: A star between letters is no emphasis, as in Leser*innen.
_BETWEEN = r"(?<=[^\W_])\*(?=[^\W_])"
_STRONG = rf"(?:{_STRESSED}|{_BETWEEN}|(?<![^\W_])\*(?!\*)(?:{_STRESSED})+\*(?!\*))+"
_EMPHASIS = rf"(?:{_STRESSED}|\*\*(?!\*)(?:{_STRESSED})+\*\*(?!\*))+"
_URL_ALONE = rf"https?://[^*{_NEVER_IN_URL}]*[^*{_NEVER_IN_URL}{_URL_TAIL_CLASS}]"
#: Marks in quotation marks are themselves meant, as in ``"*" or "_"``, but not in ``"*«¿so?»*"``.
_NAMED_MARKS = rf"(?<![{_QUOTES}](?=[*_~]{{1,3}}[{_QUOTES}](?![\w¿¡#@$£€]|…\w)))"
#: A face, as in ``(*'ω'*)``.
_FACE = r"(?<=\()\*(?P<eye>[^\s*A-Za-z])[^\s*]{1,3}(?P=eye)\*\)"
#: ``/*`` opens a comment, unless it stands between words, as in ``and/*or*``. An ending may follow
#: strong words: ``**Pelican**s``.
_STARS = rf"""
    {_NAMED_MARKS}(?<![^\s{_BEFORE}])(?<!(?<![\w*])/)(?!{_FACE})(?:
      (?P<both>\*\*\*(?={_FIRST})(?:{_STRESSED})+(?:{_LAST})\*\*\*)
    | (?P<strong>\*\*(?:
        {_URL_ALONE} | (?={_FIRST_OF_STRONG}|\*(?:{_FIRST})){_STRONG}(?:{_LAST}|(?<=\*))
      )\*\*)
    | (?P<emphasis>\*(?:{_URL_ALONE}|(?={_FIRST}|\*\*(?:{_FIRST})){_EMPHASIS}(?:{_LAST}|(?<=\*)))\*)
    )(?!\*)(?:(?![^\s{_AFTER}])|(?<=[^*]\*\*)(?=[^\W\d_]))
"""
#: The same with underscores, of which two stand around several words: ``__init__`` is a name. And
#: struck words, where no script without blanks can have the waves as a sound (はい~~).
_ALONE = rf"\s*{_QUOTES}(\[¡¿…—–/:{_UNSEEN}{_EMOJI}-"
_LOW = rf"(?!{_LINK})\[|[^_`\[\t]"
_WAVED = rf"(?!{_LINK})\[|[^~`\[\t]"
_LINES = rf"""
    {_NAMED_MARKS}(?:
      (?<![^_{_ALONE}])(?P<low>_(?={_FIRST}|\*)(?:{_LINK}|{_CODE}|{_LOW})+(?:{_LAST}|(?<=\*))_)
      (?![^\s*{_AFTER}])
    | (?<![^{_ALONE}])(?P<lower>__(?={_FIRST})(?=[^_]*[ ])(?:{_LOW})+(?:{_LAST})__)
      (?![^\s*{_AFTER}])
    | (?<![^_{_ALONE}])~~(?={_FIRST}|\*)
      (?P<struck>(?:{_LINK}|{_CODE}|{_WAVED})+)(?:{_LAST}|(?<=\*))~~
      (?![^\s*_{_AFTER}])
    )
"""
#: The end of a line with the last of the white space before it, and what would have a meaning at
#: the start of the next one: its indentation; a line of dashes; a mark that a backslash makes a
#: character, and one that takes an entity.
_EDGE = r"""
    (?P<edge>(?P<trail>(?<=[^\n])[^\S\n])?\n(?:
        (?P<indent>[^\S\n]+(?=\S))
      | (?P<rule>[|:+ ]*-[-|:+ ]*?(?=[^\S\n]?\n))
      | (?P<number>\d+)\.(?=\s)
      | (?P<mark>[#>]|[-+](?=[\s+-])|\*(?=\s)|!(?=!!))
      | (?P<sign>:(?=\s)|~(?=~~)|=(?=(?:=|[^\S\n])*\n)|\?(?=\?\?)|/(?=//)|%(?=%))
    )?)
"""
#: Single characters with a meaning.
_CHARACTERS = r"""
      (?P<entity>&(?=\#?[A-Za-z0-9]+;))
    | (?P<lone>(?:(?<=\s)\*(?=\s))|(?:(?<=[^\W_])_+(?=[^\W_])))
    | (?P<escape>[\\`*_\[])
    | (?P<named>[<{\t])
    | (?P<separator>(?<=\S)[\u2028\u2029](?=\S))
"""

#: The same where nothing is Markdown: in URLs, and in code between fences.
LITERAL = re.compile(rf"{_EDGE} | (?P<code>(?!)) | {_CHARACTERS}", re.VERBOSE)
URLS = re.compile(_URL)
#: In the label of a link that was sent as a URL in angle brackets, where no one else writes it.
SLASH = "&#47;"
#: ``&amp;`` in the target of a link, where it means an ampersand, in a spelling of its own, because
#: ``&amp;`` is written for an ampersand of the text.
AMPERSAND = "&#x26;"
_IN_LABEL_OF_URL = r"(?:\\.|[^\[\]\\\n]|\](?!\())+"

ENCODED = re.compile(
    rf"""
      (?P<code>{_CODE})
    | (?P<image>{_IMAGE})
    | \[(?=[Ww]{{3}}\.){_IN_LABEL_OF_URL}\]\(<http://(?P<www>{_WWW})>\)
    | \[(?=[Hh][Tt][Tt][Pp][Ss]?:{re.escape(SLASH)}){_IN_LABEL_OF_URL}\]\((?P<angled><{_URL}>)\)
    | (?<=\S)(?P<separator>[\u2028\u2029])(?:[ ][ ])?\n
    | (?<=\S)(?P<break>[ ][ ]\n)
    | \\(?P<escaped>[\\`*_{{}}\[\]()>\#+.!-])
    | (?P<ampersand>{re.escape(AMPERSAND)})
    | &(?:(?P<name>amp|lt|nbsp|emsp)|\#(?P<number>\d{{1,5}}));
    | <(?P<url>{_URL})>
    | </?(?P<struck>del)>
    """,
    re.VERBOSE,
)


@cache
def tokens() -> re.Pattern[str]:
    """Left to right: what is meant as Markdown, then URLs, then single characters.

    This and :func:`in_label` take a tenth of a start to compile, so that it is done after it.
    """
    return re.compile(
        rf"""
          {_EDGE}
        | (?P<code>{_CODE})
        | \[!\[(?P<alt>(?:{_ALT})?)\]\((?P<shown>{_TARGET})\)\]\((?P<around>{_TARGET})\)
        | !\[(?P<picture>(?:{_ALT})?)\]\((?P<file>[ ]*(?:{_TARGET}|{_ANGLED}){_TITLE}[ ]*)\)
        | \[(?P<label>{_LABEL})\]\((?P<target>[ ]*(?:{_TARGET}|{_ANGLED}){_TITLE}[ ]*)\)
        | {_STARS}
        | {_LINES}
        | <(?P<angled>{_URL})>
        | (?P<image>{_IMAGE})
        | (?<![0-9A-Za-z])(?P<url>{_URL})
        | (?<![\w@./:-])(?P<www>{_WWW})
        | {_CHARACTERS}
        """,
        re.VERBOSE,
    )


@cache
def in_label() -> re.Pattern[str]:
    """The same inside of a link, which holds no other."""
    return re.compile(
        rf"{_EDGE} | (?P<code>{_CODE}) | {_STARS} | {_LINES} | (?P<closing>\]) | {_CHARACTERS}",
        re.VERBOSE,
    )
