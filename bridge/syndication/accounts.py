"""A syndication target with its network client, and whether it is paused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.settings import Target
from bridge.syndication.jobs import Ledger, Trouble
from bridge.syndication.networks import Network

#: Pause of a target whose token was refused, in seconds, unless it gets another token.
_OFF_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Account:
    """A target, its network, and a hash of its token."""

    target: Target
    network: Network
    token: Callable[[], str]

    def is_off(self, ledger: Ledger, seconds: float) -> bool:
        """Whether this token was refused within the last hour."""
        trouble = ledger.trouble(self.target.uid)
        if trouble is None or trouble.token != self.token():
            return False
        return 0 <= seconds - trouble.asked < _OFF_SECONDS

    def refuse(self, ledger: Ledger, error: Exception, seconds: float) -> None:
        """Record that the token was refused at the time ``seconds``. Raises ``OSError``."""
        old = ledger.trouble(self.target.uid)
        since = old.since if old else seconds
        ledger.set_trouble(self.target.uid, Trouble(str(error), since, self.token(), seconds))
