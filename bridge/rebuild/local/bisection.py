"""Finds the files that make a build fail, by bisection, so that they can be left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from bridge.rebuild.build import BuildFailed, BuildTookTooLong
from bridge.rebuild.local.pelican_log import FEW, NO_MODULE, OF_PLUGINS, without_name
from bridge.store import Difference

#: With more files than this under suspicion it is not a post that is at fault.
_MOST = 64
#: What posts are written in; any of these may be something else all the same.
SOURCES = (".md", ".markdown", ".mkd", ".mdown", ".rst", ".html", ".htm", *OF_PLUGINS)


def still_left_out(
    left_out: Mapping[str, str], changes: Iterable[Difference], content: str
) -> Mapping[str, str]:
    """Which of the files that were left out need no other try after these changes.

    Files come back when one of them changes, and when something does that could have been in
    their way: another post edited or deleted, the settings, the theme. New posts cure nothing.
    """
    for change in changes:
        new_post = change.old is None and change.path.startswith(content)
        # In a site whose posts are at the root of the repo, anything is there.
        new_post = new_post and (bool(content) or change.path.endswith(SOURCES))
        if not new_post or change.path in left_out:
            return {}
    return left_out


class Bisection:
    """Finds the files without which a build succeeds, from one failure to the next.

    The file that a failure names is at fault. Where none is named, all posts that came since the
    last good build are left out; once that goes well they come back half by half, and whichever
    alone makes the build fail is the culprit. A build that takes too long is tried once more as it
    is; if that does not end in time either, it failed like any other.

    Where many files that built before fail alike, or for a module that is not
    installed, it is the site that fails: without them it would be built, and be empty.
    """

    def __init__(self, left_out: Mapping[str, str], suspects: Iterable[str]) -> None:
        self.culprits = dict(left_out)
        self._suspects = [path for path in suspects if path.endswith(SOURCES)]
        self._suspected: list[str] = []
        self._trying: list[str] = []
        self._one_is_guilty = False
        self._reason = ""
        self._took_too_long = False
        self._alike: Counter[str] = Counter()

    @property
    def left_out(self) -> dict[str, str]:
        """The files that the next build leaves out, and why."""
        return {**dict.fromkeys(self._suspected, self._reason), **self.culprits}

    def failed(self, failure: BuildFailed) -> bool:
        """Record a failure; whether to build again."""
        if len(self.culprits) >= _MOST:
            return False
        if failure.passing:
            if not isinstance(failure, BuildTookTooLong) or not self._suspects:
                return False
            if not self._took_too_long:
                self._took_too_long = True
                return True
        self._reason = failure.reason
        if failure.file is not None and failure.file not in self.left_out:
            if failure.file not in self._suspects and self._is_of_the_site(failure.reason):
                return False
            return self._mark_bad(failure.file)
        if self._trying:
            return self._narrow()
        unproven = [path for path in self._suspects if path not in self.culprits]
        if self._suspected or not 0 < len(unproven) <= _MOST:
            return False
        self._suspected, self._one_is_guilty = unproven, True
        return True

    def built(self) -> bool:
        """Record a success; whether to build again, with some files readmitted."""
        self._trying = []
        if not self._suspected:
            return False
        if len(self._suspected) == 1 and self._one_is_guilty:
            self._mark_bad(self._suspected.pop())
            return False
        half = (len(self._suspected) + 1) // 2
        self._trying, self._suspected = self._suspected[:half], self._suspected[half:]
        return True

    def _narrow(self) -> bool:
        """The bad file is among those that were just readmitted."""
        if len(self._trying) == 1:
            return self._mark_bad(self._trying.pop())
        half = len(self._trying) // 2
        self._suspected += self._trying[half:]
        self._trying = self._trying[:half]
        return True

    def _is_of_the_site(self, reason: str) -> bool:
        """Whether a file that was not changed fails for what is not its own fault."""
        kind = without_name(reason.partition("; before that: ")[0])
        self._alike[kind] += 1
        return self._alike[kind] > FEW or NO_MODULE.search(kind) is not None

    def _mark_bad(self, path: str) -> bool:
        self.culprits[path] = self._reason
        self._one_is_guilty = False
        return True
