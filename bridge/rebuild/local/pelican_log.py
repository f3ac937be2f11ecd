"""Parses Pelican's log: exit status 0 does not mean that every post was built."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bridge.rebuild.build import BuildFailed
from bridge.rebuild.local.files import Tree
from bridge.settings import prefix_of

#: ``[12:00:00] ERROR    what happened          generators.py:721`` (the time not on every line).
_RECORD = re.compile(
    r"^(?:\[[\d:]+\])?\s*(ERROR|CRITICAL)\s+(.*?)(?:\s+(?:\w+\.py|<string>):\d+)?\s*$"
)
#: A further line of a message, which no traceback is, and the most that are kept of one.
_CONTINUED = re.compile(
    r"(?=\s|$)(?!\s*(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s|Traceback \(most recent|\u256d))"
)
_LINES = 20
_END = re.compile(r"[\s:,;'\")\]]|$")
#: Messages after which Pelican skips a file and continues, as pages translate them.
_SAID = (
    "Could not process {file}: {problem}",
    "Unknown status {status} for file {file}, skipping it.{known}",
    "Skipping {file}: could not find information about {key}",
    "Skipping {file}: file {path} would be written outside output path",
)
_PASSED_OVER = re.compile(
    "|".join(re.sub(r"\\{\w+\\}", ".*", re.escape(message)) for message in _SAID), re.DOTALL
)
#: Messages after which it continues without a plugin.
_NO_PLUGIN = ("Cannot load plugin", "Cannot register plugin")
#: Suffixes of posts for which a plugin may have a reader.
OF_PLUGINS = (
    *(".ipynb", ".adoc", ".asciidoc", ".asc", ".org", ".textile", ".creole", ".wiki"),
    *(".mediawiki", ".dj", ".djot", ".typ", ".qmd", ".rmd"),
)
#: Why a post that has been read has no page, and how many such posts are named.
_TAKEN_OUT = "Pelican reads it, but a plugin takes it out of the site's lists: it has no page"
_UNLISTED = 50
_WARNINGS = 20
_WARNING_LENGTH = 500
#: Up to this number, files may each be broken by themselves, even if there are hardly any others.
FEW = 3
#: A page that could not be rendered; between its name and the problem.
_NOT_MADE = "{page} cannot be made: {problem}"
NOT_MADE = _NOT_MADE.removeprefix("{page}").partition(":")[0]
#: How Python reports a module that is not installed, or whose version is another than is needed:
#: neither is a post's fault.
NO_MODULE = re.compile(
    r"No module named '[\w.]+'|cannot import name '\w+' from '(?P<other_version>[\w.]+)'"
)


class LoggedError(Struct, frozen=True):
    """One error. ``file`` is the source file that it names (a path in the checkout)."""

    reason: str
    file: str | None

    @property
    def passes_over(self) -> bool:
        """Whether it means that Pelican has skipped the file."""
        return self.file is not None and _PASSED_OVER.match(self.reason) is not None


class SourcePaths(Struct, frozen=True):
    """Where source files are: the checkout, and Pelican's content folder in it."""

    checkout: Path
    content: str

    def named_in(self, message: str) -> str | None:
        """The first source file that a message names, by its whole path or from the content
        folder.
        """
        before, root, after = message.partition(f"{self.checkout}/")
        for word in re.finditer(r"(?<!\S)['\"]?(?:\./)?(?=\w)", before):
            found = self._longest(before[word.end() :], prefix_of(self.content))
            if found:
                return found
        found = self._longest(after, "") if root else None
        return None if found is None else self.in_repo(found)

    def in_repo(self, path: str) -> str:
        """The path of a file that Pelican names through a link to the content folder."""
        content = os.path.realpath(self.checkout / self.content)
        for folder in Path(path).parents:
            if not path.startswith(prefix_of(self.content)) and (
                os.path.realpath(self.checkout / folder) == content
            ):
                return prefix_of(self.content) + os.path.relpath(path, folder)
        return path

    def _longest(self, text: str, prefix: str) -> str | None:
        """The longest beginning of a text that is a file: names may hold spaces."""
        for end in reversed([match.start() for match in _END.finditer(text)]):
            # Texts may be too long for a path, on which ``Path.is_file`` fails.
            if end and os.path.isfile(self.checkout / (prefix + text[:end])):  # noqa: PTH113
                return prefix + text[:end]
        return None


class LogSummary(Struct, frozen=True):
    """The errors that a successful run has logged.

    ``left_out`` are the files that Pelican skipped, with its reasons; ``warnings`` are the other
    errors, each once, up to a limit. ``plugin`` is the first error about a plugin that could not be
    loaded, ``""`` if there is none.
    """

    left_out: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    plugin: str = ""

    @classmethod
    def of(cls, logged: Iterable[LoggedError]) -> LogSummary:
        """Sort the errors of a successful run."""
        left_out: dict[str, str] = {}
        warnings: dict[str, None] = {}
        plugin = ""
        for error in logged:
            if error.reason.startswith(_NO_PLUGIN):
                plugin = plugin or " ".join(error.reason.split())
                warnings.setdefault(" ".join(error.reason.split())[:_WARNING_LENGTH])
            elif error.file is not None and error.passes_over:
                said = error.reason
                text = f"{said}: save the file in UTF-8"
                left_out.setdefault(error.file, text if "codec can't decode" in said else said)
            else:
                warnings.setdefault(" ".join(error.reason.split())[:_WARNING_LENGTH])
        more = len(warnings) - _WARNINGS
        listed = tuple(warnings)[:_WARNINGS]
        notice = f"and {more} more, which are in Pelican's own log"
        return cls(tuple(left_out.items()), (*listed, notice) if more > 0 else listed, plugin)

    def check_plugins(self, *, lacks: bool, unreadable: Sequence[str]) -> None:
        """Raise :class:`BuildFailed` where a plugin is missing that `pelican` would find: the
        checkout ``lacks`` what a clone has, or may not read folders of plugins.
        """
        if self.plugin and unreadable:
            raise BuildFailed(
                f"{self.plugin} (the site's own code may not read {', '.join(unreadable)}:"
                " [site] folders is where to allow it)"
            )
        if self.plugin and lacks:
            raise BuildFailed(self.plugin)

    def with_unlisted(self, paths: Iterable[str]) -> LogSummary:
        """With posts that Pelican has read and that have no page, as paths in the checkout."""
        known = {path for path, _ in self.left_out}
        new = [path for path in paths if path not in known]
        warnings = self.warnings
        if len(new) > _UNLISTED:
            notice = "further posts are in no list: a plugin takes them out of the site"
            warnings = (*warnings, notice)
        left_out = (*self.left_out, *((path, _TAKEN_OUT) for path in new[:_UNLISTED]))
        return replace(self, left_out=left_out, warnings=warnings)

    def check_not_emptied(self, content: Path) -> None:
        """Raise :class:`BuildFailed` if a plugin could not be loaded and ``content`` has files that
        only plugins read, for a run that has read no article: it would publish an empty site.
        """
        names = Tree(content).walk() if self.plugin else ()
        if any(name.lower().endswith(OF_PLUGINS) for name in names):
            raise BuildFailed(f"{self.plugin}; without it no post of the site can be read")

    def check_some_are_read(self, sources: Collection[str], excused: Collection[str]) -> None:
        """Raise :class:`BuildFailed` if none of the ``sources`` can be read any more.

        The cause is then outside of the files: a Markdown extension that is not installed, say,
        would leave the site empty. ``excused`` are files that were changed, or could not be read
        before.
        """
        bad = dict(self.left_out)
        if len(bad.keys() - set(excused)) <= FEW or not bad.keys() >= set(sources):
            return
        commonest = Counter(without_name(reason) for reason in bad.values()).most_common(1)[0][0]
        raise BuildFailed(f"{len(bad)} of {len(bad)} files could not be read: {commonest}")


def without_name(reason: str) -> str:
    """The error message without the name of its file or page."""
    before, colon, after = reason.partition(": ")
    named = before.startswith(("Could not process", "Skipping")) or before.endswith(NOT_MADE)
    return after if colon and named else reason


def errors(log: str, sources: SourcePaths) -> Iterator[LoggedError]:
    """Every error in the output of a Pelican run, in order."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if match := _RECORD.match(line):
            further = takewhile(_CONTINUED.match, islice(lines, number + 1, number + _LINES))
            message = "\n".join((match[2], *(each.strip() for each in further)))
            reason = message.replace(f"{sources.checkout}/", "").rstrip()
            yield LoggedError(reason, sources.named_in(match[2]))
