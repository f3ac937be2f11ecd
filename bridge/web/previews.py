"""The URLs of previews; :mod:`.preview` sends them."""

from __future__ import annotations

from urllib.parse import quote

from msgspec import Struct


class Previews(Struct, frozen=True):
    """Where the pages of drafts are, and of posts that are not public yet."""

    public_url: str

    def url(self, save_as: str) -> str:
        """The URL of a preview."""
        return f"{self.public_url}preview/{quote(save_as)}"

    def path(self, save_as: str) -> str:
        """The path of a preview, for a frame in one of the bridge's pages."""
        return f"/preview/{quote(save_as)}"
