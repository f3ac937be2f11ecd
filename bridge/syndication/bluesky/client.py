"""A client for the parts of AT Protocol that copies and their responses need:
https://docs.bsky.app/docs/api/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.syndication.api import ApiError, object_of, objects
from bridge.syndication.backfeed.opt_outs import allows_at_bluesky
from bridge.syndication.bluesky.records import POST, Ref, post_at
from bridge.syndication.bluesky.session import PdsSession
from bridge.syndication.compose.images import Photo

#: The largest number of posts in a ``getPosts`` request.
AT_ONCE = 25


class Bluesky(PdsSession):
    """The records of an account. Every method raises :class:`~bridge.syndication.api.ApiError`."""

    async def put(self, collection: str, rkey: str, record: Mapping[str, Any]) -> Ref | None:
        """Create a record under a given key, which is idempotent.

        Returns ``None`` where the key has another record (``com.atproto.repo.putRecord`` with
        ``swapRecord: null`` fails with InvalidSwap).
        """
        body = {
            "repo": await self.did(),
            "collection": collection,
            "rkey": rkey,
            "record": dict(record),
            "swapRecord": None,
        }
        try:
            return _ref(await self.call("POST", "com.atproto.repo.putRecord", body=body))
        except ApiError as error:
            if error.name == "InvalidSwap":
                return None
            raise

    async def get(self, collection: str, rkey: str) -> tuple[Ref, dict[str, Any]] | None:
        """A record of the account; ``None`` where there is none."""
        query = {"repo": await self.did(), "collection": collection, "rkey": rkey}
        try:
            found = await self.call("GET", "com.atproto.repo.getRecord", query=query)
        except ApiError as error:
            if error.name == "RecordNotFound" or error.status == 404:
                return None
            raise
        value = found.get("value")
        return _ref(found), value if isinstance(value, dict) else {}

    async def lacks(self, collection: str, rkey: str) -> bool:
        """Whether the server says that the account has no such record."""
        query = {"repo": await self.did(), "collection": collection, "rkey": rkey}
        try:
            await self.call("GET", "com.atproto.repo.getRecord", query=query)
        except ApiError as error:
            if error.name != "RecordNotFound":
                raise
            return True
        return False

    async def delete(self, collection: str, rkey: str) -> None:
        """Delete a record; no error if there is none."""
        body = {"repo": await self.did(), "collection": collection, "rkey": rkey}
        await self.call("POST", "com.atproto.repo.deleteRecord", body=body)

    async def upload(self, photo: Photo) -> dict[str, Any]:
        """Upload a picture; returns its blob reference. Raises :class:`ApiError`."""
        found = await self.call(
            "POST", "com.atproto.repo.uploadBlob", data=photo.data, mime=photo.mime
        )
        blob = found.get("blob")
        if not isinstance(blob, dict):
            raise ApiError("the server's response has no blob")
        return blob

    async def resolve(self, handle: str) -> str | None:
        """The DID of a handle; ``None`` where there is no such account."""
        try:
            query = {"handle": handle}
            found = await self.call("GET", "com.atproto.identity.resolveHandle", query=query)
        except ApiError as error:
            if error.is_temporary or error.denied:
                raise
            return None
        did = found.get("did")
        return did if isinstance(did, str) and did.startswith("did:") else None

    # Public data.

    async def view(self, name: str, **query: Any) -> dict[str, Any]:
        """Query public data (``app.bsky.*``)."""
        if base := self.appview():
            return object_of(await self.api(base).get(f"/xrpc/{name}", **query))
        return await self.call("GET", name, query=query)

    async def pages(self, name: str, key: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a paginated list, at most a thousand."""
        found: list[dict[str, Any]] = []
        for _ in range(10):
            answer = await self.view(name, **query, limit=100)
            found += (listed := objects(answer.get(key)))
            if not isinstance(cursor := answer.get("cursor"), str) or not listed:
                break
            query["cursor"] = cursor
        return found

    async def opted_out(self, dids: Iterable[str]) -> frozenset[str]:
        """The DIDs among these whose profiles opt out of being shown elsewhere."""
        wanted, found = sorted(dids), list[dict[str, Any]]()
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            try:
                answer = await self.view("app.bsky.actor.getProfiles", actors=some)
            except ApiError as error:
                if error.is_temporary or error.denied:
                    raise
                continue
            found += objects(answer.get("profiles"))
        return frozenset(str(each.get("did")) for each in found if not allows_at_bluesky(each))

    async def find(self, url: str) -> tuple[Ref, Ref] | None:
        """The references of the post at ``url`` and of its thread's root post, or ``None``."""
        uri = await self.uri_of(url)
        if uri is None:
            return None
        found = (await self.view("app.bsky.feed.getPosts", uris=[uri])).get("posts")
        for post in objects(found):
            parent, record = _ref(post), post.get("record")
            reply = record.get("reply") if isinstance(record, dict) else None
            root = reply.get("root") if isinstance(reply, dict) else None
            return parent, _ref(root) if isinstance(root, dict) else parent
        return None

    async def uri_of(self, url: str) -> str | None:
        """The URI ``at://DID/app.bsky.feed.post/RKEY`` of a post's URL; ``None`` for any
        other URL.
        """
        named = post_at(url)
        if named is None:
            return None
        account, rkey = named
        did = account if account.startswith("did:") else await self.resolve(account)
        return f"at://{did}/{POST}/{rkey}" if did else None


def _ref(found: Mapping[str, Any]) -> Ref:
    uri, cid = found.get("uri"), found.get("cid")
    if not isinstance(uri, str):
        raise ApiError("the server's response has no record")
    return Ref(uri, cid if isinstance(cid, str) else "")
