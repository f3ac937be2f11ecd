"""When all other tests are through: none of their secrets lies about anywhere."""

from __future__ import annotations

import pytest
from secrets_kit import Watch


@pytest.mark.last
def test_no_secret_of_the_whole_suite_has_leaked(
    watched: Watch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Repos, files, databases, the log and what servers answered (``secrets_kit``)."""
    assert sorted(set(watched.leaks(tmp_path_factory.getbasetemp()))) == []
