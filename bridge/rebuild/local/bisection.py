"""Finds the files that make a build fail, by bisection, so that they can be left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from bridge.rebuild.build import BuildFailed, BuildTookTooLong
from bridge.rebuild.local.pelican_log import FEW, NO_MODULE, OF_PLUGINS, without_name
from bridge.store import Difference

#: With more suspects than this, the fault is not in a post.
_MOST = 64
#: What may differ where many pages fail in one way: what is quoted, numbers. An apostrophe in a
#: word quotes nothing.
_VARYING = re.compile(r"""(?<!\w)'[^']*'(?!\w)|"[^"]*"|[0-9]+""")
#: Suffixes of posts; a file with one of them need not be a post.
SOURCES = (".md", ".markdown", ".mkd", ".mdown", ".rst", ".html", ".htm", *OF_PLUGINS)


def still_left_out(
    left_out: Mapping[str, str], changes: Iterable[Difference], content: str
) -> Mapping[str, str]:
    """The files left out so far that need no retry after these changes.

    All are retried when one of them changes, or anything else that could have made them fail: a
    post that was edited or deleted, the settings, the theme. A new post fixes nothing.
    """
    for change in changes:
        new_post = change.old is None and change.new and change.path.startswith(content)
        # Where posts are at the root of the repo, so is everything else.
        new_post = new_post and (bool(content) or change.path.endswith(SOURCES))
        if not new_post or change.path in left_out:
            return {}
    return left_out


class Bisection:
    """Finds the files without which a build succeeds, from one failure to the next.

    The file that a failure names is to blame. Where none is named, all posts since the last good
    build are left out; once that build succeeds they are readmitted half by half, until the one
    that breaks it is found. A build that takes too long is retried once unchanged; if that does not
    end in time either, it counts as any other failure.

    Where many files that built before fail in the same way, or because a module is not installed,
    it is the site that is broken: leaving them all out would publish an empty one.
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
        """Whether an unchanged file fails for a reason outside of the file."""
        error = without_name(reason.partition("; before that: ")[0])
        kind = _VARYING.sub("", error)
        self._alike[kind] += 1
        return self._alike[kind] > FEW or NO_MODULE.search(error) is not None

    def _mark_bad(self, path: str) -> bool:
        self.culprits[path] = self._reason
        self._one_is_guilty = False
        return True
