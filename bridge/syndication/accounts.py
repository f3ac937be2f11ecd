"""A target together with its network, and why it may be off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.settings import Target
from bridge.syndication.jobs import Ledger, Trouble
from bridge.syndication.networks import Network

#: A target that refuses its token is asked again this often, or at once with another token.
_OFF_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Account:
    """A target, its network, and a name for its token, which changes with that."""

    target: Target
    network: Network
    token: Callable[[], str]

    def is_off(self, ledger: Ledger, seconds: float) -> bool:
        """Whether it has refused this very token within the hour."""
        trouble = ledger.trouble(self.target.uid)
        if trouble is None or trouble.token != self.token():
            return False
        return 0 <= seconds - trouble.asked < _OFF_SECONDS

    def refuse(self, ledger: Ledger, error: Exception, seconds: float) -> None:
        """Remember that it refuses its token, and since when. Raises ``OSError``."""
        old = ledger.trouble(self.target.uid)
        since = old.since if old else seconds
        ledger.off(self.target.uid, Trouble(str(error), since, self.token(), seconds))
