"""``check``: passes for a working set-up, and names each part that a test breaks."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from cli_kit import commit, done, environment, git, publish, quickstart, run, served
from demo_kit import wait_until
from soak_kit import SOAK

from bridge.commands.checks.outside import check_outside
from bridge.settings_file import load

# One site for all tests: creating it takes longer than breaking and repairing it.
pytestmark = pytest.mark.asyncio(loop_scope="module")

Change = Callable[[str], str]
Proxy = Callable[[web.Request, dict[str, str]], web.Response | None]


def _as_it_is(html: str) -> str:
    return html


def _as_it_comes(request: web.Request, headers: dict[str, str]) -> None:
    return None


@dataclass
class World:
    """A site and its bridge. ``home`` is the server of the pages, ``proxy`` the one in front
    of the bridge.
    """

    site: Path
    remote: Path
    bridge: Path
    home: Change = _as_it_is
    proxy: Proxy = _as_it_comes

    async def check(self) -> tuple[int, str]:
        """The exit status and output of ``check``."""
        ended = await asyncio.to_thread(run, "check", cwd=self.bridge)
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended.returncode, ended.stdout

    async def broken(self) -> dict[str, str]:
        """What ``check`` reports as broken, by name, with the remedy."""
        status, told = await self.check()
        found = dict(re.findall(r"(?m)^BAD  ([^:]+): (.*\n     -> .*)$", told))
        assert status == (1 if found else 0), told
        assert told.endswith(f"\n{len(found)} to fix.\n" if found else "\nEverything works.\n")
        return found

    async def outside(self) -> tuple[dict[str, str], list[str]]:
        """What ``check`` reports as broken over HTTP, by subject, with the remedy; and all lines.

        Unlike the whole command, which other tests here run, it does not build the site twice.
        """
        settings = load(self.bridge / "bridge.toml", environment())
        findings = [finding async for finding in check_outside(settings)]
        broken = [each for each in findings if each.broken and not each.is_good]
        found = {each.subject: f"{each.fact}\n     -> {each.remedy}" for each in broken}
        return found, [str(each) for each in findings]

    def commit(self, path: str, text: str) -> None:
        """Add to a file of the site, commit, update the bridge's repo, and wait for its push: one
        that failed in an earlier test is reported until then.
        """
        with (self.site / path).open("a") as file:
            file.write(f"{text}\n")
        commit(self.site, "A change")
        git("push", "--quiet", self.bridge / "site.git", "main", cwd=self.site)
        head = git("rev-parse", "HEAD", cwd=self.site)
        wait_until(lambda: git("rev-parse", "main", cwd=self.remote) == head)

    def configure(self, pattern: str, value: str) -> None:
        """Change ``bridge.toml``."""
        file = self.bridge / "bridge.toml"
        text, times = re.subn(pattern, value, file.read_text())
        assert times == 1
        file.write_text(text)


@asynccontextmanager
async def listening(handler: Callable[[web.Request], object]) -> AsyncIterator[str]:
    app = web.Application(client_max_size=100_000_000)
    app.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A stock site, set up by ``init``, served behind a proxy, with its pages on another host."""
    folder = tmp_path_factory.mktemp("check")
    place = World(quickstart(folder / "site"), folder / "remote.git", folder / "bridge")
    place.bridge.mkdir()
    behind: list[str] = []

    async def pages(request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"] or "index.html"
        file = place.bridge / "output" / name
        if not file.is_file():
            raise web.HTTPNotFound
        return web.Response(text=place.home(file.read_text()), content_type="text/html")

    async def proxy(request: web.Request) -> web.StreamResponse:
        headers = dict(request.headers)
        refusal = place.proxy(request, headers)
        if refusal is not None:
            return refusal
        url = behind[0] + request.match_info["path"]
        body = io.BytesIO(await request.read())
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, headers=headers, data=body) as answer,
        ):
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                content_type=answer.content_type,
            )

    async with listening(pages) as home, listening(proxy) as front:
        conf = place.site / "publishconf.py"
        conf.write_text(conf.read_text().replace("https://example.com", home.rstrip("/")))
        with (place.site / "pelicanconf.py").open("a") as more:
            more.write(f'INDIEAUTH_BRIDGE = "{front}"\n')
            more.write(f'INDIEAUTH_WEBMENTION = "{front}webmention"\n')
        commit(place.site)
        publish(place.site, place.remote)
        where = ("--remote", place.remote, "--public-url", front)
        done("init", place.site, "--yes", *where, cwd=place.bridge)
        place.configure(r"(?m)^port = \d+$", "port = 0")
        with served(place.bridge) as running:
            behind.append(running.url)
            wait_until((place.bridge / "output" / "index.html").exists)
            yield place


@pytest.fixture
def world(place: World) -> Iterator[World]:
    """A working set-up; whatever a test breaks is repaired afterwards."""
    config = place.bridge / "bridge.toml"
    before, commit_before = config.read_text(), git("rev-parse", "HEAD", cwd=place.site)
    yield place
    place.home, place.proxy = _as_it_is, _as_it_comes
    config.write_text(before)
    if git("rev-parse", "HEAD", cwd=place.site) != commit_before:
        git("revert", "--no-edit", f"{commit_before}..HEAD", cwd=place.site)
        git("push", "--quiet", place.bridge / "site.git", "main", cwd=place.site)
        head = git("rev-parse", "HEAD", cwd=place.site)
        wait_until(lambda: f"{head[:10]} is live" in (place.bridge / "serve.log").read_text())


async def test_a_served_site_passes(world: World) -> None:
    status, told = await world.check()
    assert status == 0, told
    for subject in (
        "repo", "remote", "Pelican settings", "SITEURL", "build", "plugin", "public_url", "bridge",
        "Authorization header", "uploads", "rel=micropub", "rel=authorization_endpoint",
        "rel=token_endpoint", "IndieAuth metadata", "webmentions",
    ):  # fmt: skip
        assert f"ok   {subject}: " in told


async def test_webmention_endpoint_is_checked(world: World) -> None:
    world.home = lambda html: re.sub(r"<link[^>]*rel=.?webmention[^>]*>", "", html)
    found, lines = await world.outside()
    assert (found, "INDIEAUTH_WEBMENTION" in "\n".join(lines)) == ({}, True), lines

    world.home = lambda html: html.replace("/webmention", "/elsewhere")
    found, _ = await world.outside()
    assert set(found) == {"webmentions"}
    assert "/elsewhere, not http" in found["webmentions"]

    world.home = _as_it_is
    world.proxy = lambda request, _: (
        web.Response(status=404) if request.path == "/webmention" else None
    )
    found, _ = await world.outside()
    assert set(found) == {"webmentions"}
    assert "answers 404" in found["webmentions"]


async def test_links_of_the_live_home_page(world: World) -> None:
    def wrong(html: str) -> str:
        html = re.sub(r"<link[^>]*rel=.?micropub[^>]*>", "", html)
        html = html.replace('/token"', '/elsewhere"')
        return html.replace("well-known/oauth-authorization-server", "elsewhere")

    world.home = wrong
    found, _ = await world.outside()
    assert set(found) == {"rel=micropub", "rel=token_endpoint", "IndieAuth metadata"}
    assert "has no such link" in found["rel=micropub"]
    assert 'Set INDIEAUTH_BRIDGE = "http://127.0.0.1:' in found["rel=micropub"]
    assert "/elsewhere, not http" in found["rel=token_endpoint"]
    assert "agree" in found["rel=token_endpoint"]


async def test_a_missing_home_page(world: World) -> None:
    def gone(html: str) -> str:
        raise web.HTTPNotFound

    world.home = gone
    found, _ = await world.outside()
    assert set(found) == {"home page"}
    assert "answers 404" in found["home page"]
    assert "Publish your site" in found["home page"]


async def test_a_proxy_that_drops_headers_or_bodies(world: World) -> None:
    def drops(request: web.Request, headers: dict[str, str]) -> web.Response | None:
        headers.pop("Authorization", None)
        if request.path.startswith("/.well-known/"):
            return web.Response(status=404)
        is_large = (request.content_length or 0) > 1_000_000
        return web.Response(status=413) if is_large else None

    world.proxy = drops
    found, _ = await world.outside()
    assert set(found) == {"Authorization header", "uploads", "IndieAuth metadata"}
    assert "docs/proxies.md" in found["Authorization header"]
    assert "20000000 bytes" in found["uploads"]
    assert "/.well-known/ to the bridge" in found["IndieAuth metadata"]

    world.proxy = lambda request, headers: web.Response(status=502)
    found, _ = await world.outside()
    assert set(found) == {"bridge", "IndieAuth metadata"}
    assert "answers 502" in found["bridge"]
    assert "micropub-bridge serve" in found["bridge"]


async def test_metadata_of_another_issuer(world: World) -> None:
    world.configure(r'(?m)^public_url = "(.*)127.0.0.1(.*)/"$', r'public_url = "\1localhost\2/"')
    found, _ = await world.outside()
    assert "public_url to the same URL" in found["IndieAuth metadata"]


async def test_a_bridge_that_is_not_running(world: World) -> None:
    world.configure(r'(?m)^public_url = ".*"$', 'public_url = "http://127.0.0.1:1/"')
    found, _ = await world.outside()
    assert "cannot be reached" in found["bridge"]
    assert "micropub-bridge serve" in found["bridge"]


async def test_a_name_that_does_not_exist(world: World) -> None:
    world.configure(r'(?m)^public_url = ".*"$', 'public_url = "https://bridge.invalid/"')
    found, _ = await world.outside()
    assert "cannot be reached" in found["bridge"]
    assert "proxy" not in found["bridge"]


async def test_a_missing_remote(world: World) -> None:
    moved = world.remote.rename(world.remote.with_suffix(".moved"))
    found = await world.broken()
    moved.rename(world.remote)
    assert set(found) == {"remote"}
    assert "does not appear to be a git repository" in found["remote"]

    if SOAK:
        world.configure(r'(?m)^remote = "origin"$', 'remote = "elsewhere"')
        found = await world.broken()
        assert set(found) == {"remote"}
        assert "remote add elsewhere URL" in found["remote"]


async def test_a_repo_that_is_gone(world: World) -> None:
    world.configure(r'(?m)^repo = ".*"$', 'repo = "nowhere"')
    found = await world.broken()
    assert set(found) == {"repo"}
    assert "[site] repo" in found["repo"]


async def test_pelican_settings_that_are_broken(world: World) -> None:
    world.commit("pelicanconf.py", "import no_such_module")
    found = await world.broken()
    assert set(found) == {"Pelican settings"}
    assert "no_such_module" in found["Pelican settings"]


async def test_a_content_folder_that_the_repo_lacks(world: World) -> None:
    world.configure(r'(?m)^folder = "content"$', 'folder = "texts"')
    found = await world.broken()
    assert set(found) == {"content folder", "build"}
    for each in found.values():
        assert 'write folder = "content"' in each
        assert "by hand" not in each
    assert (
        "texts, where the repo has no files, and PATH in publishconf.py is content"
        in (found["content folder"])
    )


async def test_a_build_that_is_broken(world: World) -> None:
    """By a theme beside the owner's clone, which no checkout has."""
    world.commit("publishconf.py", 'THEME = "../no-such-theme"')
    found = await world.broken()
    assert set(found) == {"build"}
    assert "../no-such-theme" in found["build"]
    assert "that folder is not in the repo. Add it to the repo" in found["build"]


async def test_what_the_site_is_built_in_spite_of_is_reported(world: World) -> None:
    """A plugin that is not installed (the site is built without it, as by `pelican`), a locale
    that is not on this machine, what keeps a site from being kept warm, a post that Pelican skips.
    That settings ask git for the version is nothing to report. URLs for apps are based on ``me``
    where the site does not set SITEURL, which it should.
    """
    odd = world.site / "content" / "odd.md"
    odd.write_text("Title: Odd\nDate: some day\n\nText.\n")
    other = world.site / "content" / "other.md"
    header = "Date: 2026-01-02\nLang: xx\nStatus: draft"
    other.write_text(f"Title: Other\n{header}\n\nText.\n")
    other.with_name("another.md").write_text(f"Title: Another\n{header}\n\nText.\n")
    (world.site / "requirements.txt").write_text("nonesuch\n")
    settings = (
        'PLUGINS = ["nonesuch", "pelican_indieauth"]',
        'DATE_FORMATS = {"en": ("C.UTF-8", "%d %m %Y"), "xx": ("xx_YY.utf8", "%d")}',
        'LOCALE = ["xx_YY.utf8", "Nowhere"]',
        'SITEURL = ""',
        "import subprocess",
        'REVISION = subprocess.run(["git", "log", "-1"], capture_output=True, check=True).stdout',
        'import logging; logging.getLogger("my").error("no cover found")',
    )
    world.commit("publishconf.py", "\n".join(settings))
    status, told = await world.check()
    assert status == 0, told
    assert "SITEURL: it is empty in publishconf.py" in told
    assert "Cannot load plugin `nonesuch`" in told
    assert "built without that plugin" in told
    assert f"{sys.executable} -m pip install" in told
    assert "in your clone, -r requirements.txt in place of PACKAGE" in told
    assert "take it out of PLUGINS" in told
    assert "each change needs a full run of Pelican, since DATE_FORMATS names locales" in told
    assert "Name the site's locale in LOCALE" in told
    assert "the locale xx_YY.utf8 is not on this machine" in told
    assert "locale-gen" in told
    both = r"content/another\.md, content/other\.md \(.*\n.*Install the locales that LOCALE"
    assert re.search(both, told), told
    assert "no cover found\n     -> The site is built all the same" in told
    assert "Build the site by hand" not in told
    assert re.search(r"(?m)^note build: .*content/odd\.md", told)


async def test_a_plugin_that_is_off_and_an_address_that_is_not_the_owners(world: World) -> None:
    world.commit("publishconf.py", 'PLUGINS = []\nSITEURL = "https://elsewhere.example"')
    status, told = await world.check()
    assert status == 1, told
    assert re.search(r'(?m)^BAD  plugin: .*\n.*"pelican_indieauth" to PLUGINS', told), told
    assert "note SITEURL: apps get URLs below https://elsewhere.example, but you sign in as" in told


async def test_a_token_endpoint_elsewhere(world: World) -> None:
    async def endpoint(request: web.Request) -> web.Response:
        assert request.headers["Accept"] == "application/json"
        return web.json_response({"error": "unauthorized"}, status=answers[0])

    answers = [401]
    async with listening(endpoint) as elsewhere:
        world.configure("enabled = true", "enabled = false")
        with (world.bridge / "bridge.toml").open("a") as config:
            config.write(f'[auth]\ntoken_endpoint = "{elsewhere}token"\n')
        world.home = lambda html: re.sub(r'http://[^"]*/token"', f'{elsewhere}token"', html)
        _, lines = await world.outside()
        told = "\n".join(lines)
        assert "note token endpoint" in told
        assert "introspection_endpoint" in told
        assert "ok   rel=token_endpoint" in told

        answers[0] = 200
        found, _ = await world.outside()
        assert "where it should reject an invalid token" in found["token endpoint"]


async def test_links_to_the_built_in_server_are_wrong_if_it_is_off(world: World) -> None:
    world.configure("enabled = true", "enabled = false")
    found, _ = await world.outside()
    assert "but the built-in server is off" in found["rel=token_endpoint"]
    assert "but the built-in server is off" in found["rel=authorization_endpoint"]
    assert "rel=micropub" not in found
