"""Update the catalogues of translations from the pages' messages, and compile them: ``make
catalogues``.

New messages are added without a translation, and unused ones removed. Untranslated messages are
printed. With ``--check`` nothing is written, and the exit status is 1 if anything would be.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from bridge.pages.language import LANGUAGES as OFFERED
from bridge.pages.language import LEAST_WORDS

BRIDGE = Path(__file__).parents[1] / "bridge"
PAGES = BRIDGE / "pages"
LOCALE = PAGES / "locale"
LANGUAGES = OFFERED[1:]

#: In French, no line begins with the sign after these blanks.
_FRENCH_BLANK = re.compile(r" (?=[?!:;»])|(?<=«) ")

#: Calls whose words people read, and which of their arguments these are: by place, or by name.
_CALLS: dict[str, tuple[int | str, ...]] = {
    "translated": (0,),
    "Notice": (0, 1, "text", "button"),
    "PasskeyRefused": (0,),
    "_refusal": (0,),
    "PageError": (0, 1, "text"),
    **dict.fromkeys(
        (
            *("Conflict", "InvalidRequest", "Unavailable", "NotFound", "Forbidden"),
            *("PayloadTooLarge", "UnsupportedMediaType", "InsufficientStorage"),
            *("TooManyRequests", "BadURL", "FetchError", "ForbiddenAddress"),
            *("_ForbiddenAddressError", "SiteBroken", "SiteLate", "SiteReplaced"),
        ),
        (0,),
    ),
    **dict.fromkeys(("ApiError", "CopyRefused", "NoImage", "NotConnected"), (0,)),
    "give_up": (2,),
    "FormField": (1, 3, "hint", "add"),
    "PostType": (1,),
    "Section": (2, "label"),
    "_scope": (0,),
    "Advice": (0, 2),
    "Scope": (0,),
    "Verification": (1,),
    "Refusal": (1,),
    "Unread": (1,),
    **dict.fromkeys(("BuildFailed", "BuildTookTooLong"), (0,)),
}
#: Names that hold such words, or a table of them, or a pair of an address and words.
_NAMES = frozenset(
    {
        "problem",
        "problems",
        "link",
        "also",
        "notice",
        "text",
        "label",
        "headline",
        "instead",
        "wanted",
        "remedy",
        "warnings",
    }
)
_TABLES = frozenset(
    {
        "_BUILD_WORDS",
        "_ACTIONS",
        "_DONE",
        "_KINDS",
        "STALE",
        "BACK",
        "_WANTED",
        "_NAMELESS",
        "_WORK",
        "RSVPS",
        "_READ",
        "_STARS",
        "choices",
        "_MONTHS",
        "_REFUSED",
        "_ACCEPTED",
        "_CHANGED",
        "_EMPTY",
        "STATUS_TEXT",
        "UNKNOWN_TARGET",
        "NOT_SHOWN",
        "_OWN",
        "UNUSABLE",
        "_SAID",
        "_FULL",
        "_ZONES",
        "_REMEDIES",
        "_TAKEN_OUT",
        "_NOT_MADE",
    }
)
#: Functions that give such words.
_TELLERS = frozenset(
    {
        "_headline",
        "_building",
        "_pushing",
        "_job",
        "_seems",
        "_made_by",
        "_way_on",
        "_look",
        "_why_skipped",
        "_why_unwritten",
        "remedy",
    }
)
_FOLDERS = ("desk", "pages", "indieauth", "media")
_FILES = (
    *("auth/token.py", "syndication/report.py", "publisher.py", "http/limits.py"),
    *("http/multipart.py", "http/form.py"),
    *(
        "micropub/dates.py",
        "micropub/post.py",
        "micropub/values.py",
        "micropub/urls.py",
        "micropub/embedded.py",
    ),
    *("content/keys.py", "content/file.py", "content/titles_and_slugs.py"),
    *("content/body.py", "content/markup/html.py", "content/convert.py", "content/edit.py"),
    *("content/yaml_head.py", "posts/attachments.py", "posts/post_files.py", "posts/catalogue.py"),
    *("posts/reservations.py", "posts/commits.py"),
    *("net/web_url.py", "net/fetch.py", "web/middleware.py"),
    *("webmention/incoming/request_checks.py", "webmention/incoming/handlers.py"),
    *("webmention/incoming/receiver.py", "webmention/incoming/commits.py"),
    *("webmention/incoming/inbox.py", "webmention/incoming/moderation/decisions.py"),
    *("webmention/incoming/verification/verifier.py", "site/messages.py", "site/process.py"),
    "store/sync/refusals.py",
    *("rebuild/resident/pelican/planning.py", "rebuild/worker.py", "rebuild/webhook.py"),
    "rebuild/local/command.py",
    *("rebuild/local/deploy.py", "rebuild/local/output.py", "rebuild/local/pelican_log.py"),
    *("site/current.py", "site/pelican/reading.py", "site/pelican/pelican_site.py"),
    *("site/pelican/serve.py", "site/pelican/description.py"),
    *("site/pelican/addresses/addresses.py", "web/preview.py"),
    *("syndication/accounts.py", "syndication/api.py", "syndication/connector.py"),
    *("syndication/environment.py", "syndication/networks.py", "syndication/jobs/copier.py"),
    *("syndication/jobs/outcomes.py", "syndication/mastodon/client.py"),
    *("syndication/bluesky/client.py", "syndication/bluesky/copies.py"),
    *("syndication/bluesky/session.py", "syndication/compose/fit.py"),
    "syndication/compose/images.py",
)


def words_of(source: str) -> Iterator[str]:
    """The sentences in a module's source that are shown in pages."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                wanted = _CALLS.get(name, ())
                for place, value in enumerate(node.args):
                    if place in wanted:
                        yield from _constants(value, small=name == "translated")
                for keyword in node.keywords:
                    if keyword.arg in wanted or keyword.arg in _NAMES | _TABLES:
                        yield from _constants(keyword.value)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if name in _NAMES | _TABLES:
                yield from _constants(value)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name in _TELLERS:
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Return) and inner.value is not None:
                        yield from _constants(inner.value)
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="problems"))], value=value):
                yield from _constants(value)


def _constants(node: ast.expr, *, small: bool = False) -> Iterator[str]:
    """The texts in an expression that are for people, not URLs or names of fields. ``small``:
    include single words without a capital.
    """
    match node:
        case ast.Constant(value=str() as text):
            if small or text[:1].isupper() or " " in text.strip():
                yield text
        case ast.JoinedStr(values=parts) if text := _template(parts):
            yield text
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _constants(part)
        case ast.Dict(values=values):
            for value in values:
                yield from _constants(value, small=True)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _constants(body)
            yield from _constants(orelse)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _constants(value)


def _template(parts: Sequence[ast.expr]) -> str:
    """An f-string as a message with named placeholders, as
    :func:`bridge.pages.language.translated` recognises it; empty if too little of it is text.
    """
    names: list[str] = []
    written, words = "", 0
    for part in parts:
        if isinstance(part, ast.Constant):
            text = str(part.value)
            words += sum(map(str.isalpha, text))
            written += text.replace("{", "{{").replace("}", "}}")
        elif isinstance(part, ast.FormattedValue):
            name = _name(part.value)
            names.append(name)
            count = names.count(name)
            written += "{" + (f"{name}{count}" if count > 1 else name) + "}"
    return written if words >= LEAST_WORDS else ""


def _name(value: ast.expr) -> str:
    """A name for a placeholder of an f-string, for translators."""
    match value:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_").lower()
        case ast.Subscript(value=inner) | ast.Call(func=ast.Name() as inner):
            return _name(inner)
        case ast.Call(func=ast.Attribute(value=inner)):
            return _name(inner)
        case ast.BoolOp(values=[inner, *_]):
            return _name(inner)
    return "value"


def messages() -> Catalog:
    """All messages of the pages: those marked in templates, and those in code."""
    found = Catalog(project="bridge", charset="utf-8")
    for template in sorted(PAGES.glob("templates/**/*.html")):
        with template.open("rb") as file:
            for _, message, _, _ in extract(
                "jinja2.ext:babel_extract", file, options={"trim_blocks": "true"}
            ):
                found.add(message)
    modules = [file for folder in _FOLDERS for file in (BRIDGE / folder).rglob("*.py")]
    for module in sorted([*modules, *(BRIDGE / file for file in _FILES)]):
        source = module.read_text()
        for text in words_of(source):
            found.add(text)
        for _, message, _, _ in extract("python", BytesIO(source.encode()), {"counted": (1, 2)}):
            found.add(message)
    return found


def read(language: str) -> Catalog:
    """A language's catalogue as stored."""
    with _po(language).open("rb") as file:
        return read_po(file, locale=language)


def updated(language: str, found: Catalog) -> Catalog:
    """A language's catalogue with exactly the current messages."""
    catalogue = read(language)
    catalogue.update(found, no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    return catalogue


def missing(catalogue: Catalog) -> list[str]:
    """The messages that a catalogue does not translate."""
    return [
        str(message.id)
        for message in catalogue
        if message.id
        and not (all(message.string) if isinstance(message.string, tuple) else message.string)
    ]


def written(catalogue: Catalog) -> bytes:
    """The text of a catalogue, without times and names that only tools use."""
    out = BytesIO()
    out.write(
        'msgid ""\nmsgstr ""\n'
        f'"Language: {catalogue.locale_identifier}\\n"\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Plural-Forms: {catalogue.plural_forms}\\n"\n\n'.encode()
    )
    write_po(out, catalogue, width=96, no_location=True, sort_output=True, omit_header=True)
    return out.getvalue()


def compiled(catalogue: Catalog) -> bytes:
    """A catalogue in the format of :mod:`gettext`."""
    # The same words make the same bytes.
    catalogue.creation_date = catalogue.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    catalogue = deepcopy(catalogue)
    if str(catalogue.locale) == "fr":
        for message in catalogue:
            if isinstance(message.string, str):
                message.string = _FRENCH_BLANK.sub("\N{NO-BREAK SPACE}", message.string)
            elif message.string:
                forms = (_FRENCH_BLANK.sub("\N{NO-BREAK SPACE}", form) for form in message.string)
                message.string = tuple(forms)
    out = BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def _po(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "bridge.po"


def main() -> int:
    """Write all catalogues, and print untranslated messages."""
    found, status = messages(), 0
    for language in LANGUAGES:
        catalogue = updated(language, found)
        for path, content in (
            (_po(language), written(catalogue)),
            (_po(language).with_suffix(".mo"), compiled(catalogue)),
        ):
            if not path.exists() or path.read_bytes() != content:
                status = 1
                if "--check" not in sys.argv:
                    path.write_bytes(content)
        for message in missing(catalogue):
            print(f"{language}: {message}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
