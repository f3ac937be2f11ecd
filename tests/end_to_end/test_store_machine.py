"""Three clients, the owner's laptop and the remote, in any order: a state machine on real repos.

Each post has a unique word in its title, and each change another one, so that everything
acknowledged can be searched for in the repo, whatever happened to the post later.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from crowd_kit import Answer, Crowd, Repos, crowd, title
from git_kit import git
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from soak_kit import SOAK

#: 10,000 steps in `make soak`.
EXAMPLES, STEPS = (200, 50) if SOAK else (3, 10)
SLUGS = ["a", "b"]

_which = st.integers(0, 3)
_create = st.tuples(st.just("create"), st.sampled_from(SLUGS), st.sampled_from(["one", "two"]))
_change = st.tuples(
    st.sampled_from(["tag", "text", "move", "delete", "undelete", "edit", "remove"]), _which
)
_alone = st.tuples(st.sampled_from(["write", "hook"]))
Deed = tuple[object, ...]


@dataclass
class Told:
    """What the bridge and the owner were told has succeeded."""

    words: set[str]
    posts: set[str]
    tags: dict[str, str]
    edited: set[str]
    deletes: int = 0


class Together(RuleBasedStateMachine):
    """Creates, updates, deletes and undeletes at the same time as edits and pulls."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="together-"))
        self.repos = Repos.begin(self.folder, {})
        self.stack = AsyncExitStack()
        self.clients: Crowd = self.runner.run(self.stack.enter_async_context(crowd(self.repos)))
        self.told = Told(set(), set(), {}, set())
        self.urls: list[str] = []
        self.numbers = itertools.count()
        self.at_the_laptop = asyncio.Lock()
        self.posts_stay = True

    def teardown(self) -> None:
        try:
            self.runner.run(self._pull())
            self._check()
            # Whatever happened later, each acknowledged word is in the history.
            history = git(self.repos.bare, "log", "-p", "--format=%H", "main")
            assert {word for word in self.told.words if word not in history} == set()
            self.runner.run(self.stack.aclose())
        finally:
            self.runner.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    @initialize()
    def many_at_once(self) -> None:
        """Four posts that ask for one URL, then a post that five clients update."""
        self.runner.run(self._all([("create", "a", "one")] * 4))
        self.runner.run(self._all([("tag", 0)] * 5 + [("text", 0), ("create", "b", "one")]))

    @rule(deeds=st.lists(st.one_of(_create, _change, _change, _alone), min_size=1, max_size=3))
    def at_once(self, deeds: list[Deed]) -> None:
        """Each client sends its request; the next step begins when all responses have arrived."""
        self.runner.run(self._all(deeds))

    @rule()
    def pull(self) -> None:
        """Synchronise the bridge with its remote."""
        self.runner.run(self._pull())

    @invariant()
    def nothing_is_lost(self) -> None:
        self._check()

    async def _all(self, deeds: Sequence[Deed]) -> None:
        # Another post can only get the URL if the first one is deleted.
        self.posts_stay = not {"delete", "remove"} & {name for name, *_ in deeds}
        await asyncio.gather(*(getattr(self, f"_{name}")(*rest) for name, *rest in deeds))

    async def _pull(self) -> None:
        assert await self.clients.call_hook() == 202
        await self.clients.in_step()

    def _word(self, letter: str) -> str:
        return f"{letter}{next(self.numbers)}{letter}"

    def _url(self, which: int) -> str:
        """One of the latest posts, so that requests conflict."""
        return self.urls[-1 - which % len(self.urls)] if self.urls else "https://example.com/none/"

    def _done(self, answer: Answer, word: str = "") -> bool:
        assert answer.status in (200, 201, 202, 400, 409), answer
        if answer.ok and word:
            self.told.words.add(word)
        return answer.ok

    async def _create(self, slug: str, channel: str) -> None:
        name = self._word("p")
        answer = await self.clients.create("Text", name=name, mp_slug=slug, mp_channel=channel)
        assert self._done(answer, name), answer
        self.told.posts.add(name)
        self.urls.append(answer.location)

    async def _tag(self, which: int) -> None:
        word, url = self._word("t"), self._url(which)
        post = await self.clients.source(url) if self.posts_stay else None
        if self._done(await self.clients.update(url, add={"category": [word]}), word) and post:
            self.told.tags[word] = str(post["name"][0])

    async def _text(self, which: int) -> None:
        word = self._word("c")
        url = self._url(which)
        self._done(await self.clients.update(url, replace={"content": [word]}), word)

    async def _move(self, which: int) -> None:
        url = self._url(which)
        answer = await self.clients.update(url, replace={"mp-slug": [self._word("s")]})
        if self._done(answer) and answer.location:
            self.urls.append(answer.location)

    async def _delete(self, which: int) -> None:
        # Counted after the await: `deletes += await …` would add to what was read before it.
        deleted = self._done(await self.clients.delete(self._url(which)))
        self.told.deletes += deleted

    async def _undelete(self, which: int) -> None:
        self._done(await self.clients.undelete(self._url(which)))

    async def _hook(self) -> None:
        assert await self.clients.call_hook() == 202

    async def _write(self) -> None:
        """Write a new post by hand."""
        slug = self._word("h")
        text = f"Title: {slug}\nDate: 2026-01-02\nSlug: {slug}\n\nBy hand.\n"
        async with self.at_the_laptop:
            await self._by_hand({f"content/{slug}.md": text}, slug)
        await self._hook()

    async def _edit(self, which: int) -> None:
        """Add a line to a post by hand."""
        word = self._word("e")
        # A pull between reading and writing a file would bring changes that the writing undoes.
        async with self.at_the_laptop:
            if (path := await self._latest(which)) is not None:
                text = (self.repos.laptop / path).read_text() + f"\n{word}\n"
                self.told.edited.add(title(text))
                await self._by_hand({path: text}, word)
        await self._hook()

    async def _remove(self, which: int) -> None:
        """Delete a post by hand."""
        async with self.at_the_laptop:
            if (path := await self._latest(which)) is not None:
                self.told.deletes += 1
                await self._by_hand({path: None}, "")
        await self._hook()

    async def _latest(self, which: int) -> str | None:
        """The path of one of the posts on the laptop, brought up to date."""
        await asyncio.to_thread(self._fetch)
        found = sorted((self.repos.laptop / "content").rglob("*.md"))
        return str(found[which % len(found)].relative_to(self.repos.laptop)) if found else None

    async def _by_hand(self, files: dict[str, str | None], word: str) -> None:
        if await asyncio.to_thread(self._push, files) and word:
            self.told.words.add(word)

    def _fetch(self) -> None:
        git(self.repos.laptop, "fetch", "-q", "origin", "main")
        git(self.repos.laptop, "reset", "-q", "--hard", "origin/main")

    def _push(self, files: dict[str, str | None]) -> bool:
        """Commit and push; if the rebase has conflicts, the owner gives up that change."""
        try:
            self.repos.write(files)
            self.repos.push()
        except (subprocess.CalledProcessError, FileNotFoundError):
            if (self.repos.laptop / ".git/rebase-merge").exists():
                git(self.repos.laptop, "rebase", "--abort")
            return False
        return True

    def _check(self) -> None:
        # An edit by hand, made before a delete has come, brings the post back, though its URL may
        # have gone to a new post by then. Only the owner can tell which of the two is to keep it.
        self.repos.check(but=self.told.edited if self.told.deletes else ())
        files = self.repos.files()
        texts = {path: text for path, text in files.items() if path.endswith(".md")}
        beside = "".join(text for path, text in files.items() if ".conflict-" in path)
        titles = [title(text) for text in texts.values()]
        assert len(titles) == len(set(titles)), "a post is there once"
        missing = {post for post in self.told.posts if post not in titles and post not in beside}
        assert len(missing) <= self.told.deletes
        for tag, name in self.told.tags.items():
            for text in texts.values():
                if f"Title: {name}\n" in text:
                    assert tag in text or tag in beside, (tag, text)


Together.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, derandomize=not SOAK
)
TestTogether = Together.TestCase
