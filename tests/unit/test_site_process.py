"""The site's process: which files it can access, and that slow content does not delay other
requests for long.
"""

from __future__ import annotations

import ast
import asyncio
import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from site_kit import CONF, lay_out, process

from bridge.errors import InvalidRequest, SiteBroken, SiteLate, SiteReplaced, Unavailable
from bridge.posts.commits import retry_on_conflict
from bridge.runtime.confinement import Grants, all_but, landlock_version, system_grants
from bridge.runtime.process import environment as of_builds
from bridge.runtime.threads import APP
from bridge.site.launch import confined_argv, unconfined
from bridge.site.messages import (
    MANY,
    TEXT,
    Frame,
    IndexedPost,
    Locate,
    PostQuestions,
    Source,
    Unread,
)
from bridge.site.pelican.serve import Supervisor, _Copy, _Questions
from bridge.site.process import RunningProcess, SiteProcess
from bridge.site.sandbox import Sandbox
from bridge.site.site_reader import AnswerLimits

QUESTION_TEXT = "Title: x\nDate: 2026-11-21\nSlug: y\nCategory: z\n\nWords\n"
QUESTION = PostQuestions(place=Locate(QUESTION_TEXT))
#: A Markdown that is busy for ever with one word, ends with another, and with a third ends once.
BUSY = (
    CONF
    + """
import os
import re
from markdown import Extension
from markdown.preprocessors import Preprocessor

class Step(Preprocessor):
    def run(self, lines):
        while any("endless" in line for line in lines):
            pass
        if any("deadly" in line for line in lines):
            os._exit(3)
        if any("mortal" in line for line in lines) and not os.path.exists("died"):
            os.mkdir("died")
            os._exit(3)
        return [line.replace("process", f"process {os.getpid()}") for line in lines]

class Busy(Extension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Step(md), "busy", 1)

MARKDOWN = {"extensions": [Busy(), "markdown.extensions.meta"]}
"""
)
needs_landlock = pytest.mark.skipif(
    landlock_version() < 1 and not os.environ.get("CI"), reason="needs Linux 5.13 with Landlock"
)


@asynccontextmanager
async def opened(
    folder: Path, conf: str = CONF, *, limits: AnswerLimits | None = None, **more: float
) -> AsyncIterator[SiteProcess]:
    site = process(lay_out(folder / "site", {}, conf), limits=limits, **more)
    try:
        await site.load()
        yield site
    finally:
        await site.close()


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


async def text(site: SiteProcess, words: str, suffix: str = "md") -> str:
    return (await site.ask(PostQuestions(texts=((suffix, words),)))).texts[0].html


async def test_a_slow_text_does_not_delay_others(tmp_path: Path) -> None:
    limits = AnswerLimits(loading=600, text=3600, overdue=600)
    async with opened(tmp_path, BUSY, limits=limits, patience=0.1, hurried=0.05) as site:
        slow = asyncio.create_task(text(site, "endless"))
        await asyncio.sleep(0.2)
        # It would never end: that these are answered shows that they do not wait for it.
        for _ in range(3):
            assert "quick" in await text(site, "quick")
        assert (await site.ask(QUESTION)).places
        assert not slow.done()
        slow.cancel()


async def test_a_text_that_times_out_is_refused_and_its_process_killed(tmp_path: Path) -> None:
    limits = AnswerLimits(loading=600, text=0.2)
    async with opened(tmp_path, BUSY, limits=limits, patience=0.05) as site:
        with pytest.raises(InvalidRequest, match="too long"):
            await used_up(site, "endless")
        # A busy machine may need longer for this than the test's limit.
        site._limits = AnswerLimits(loading=600, text=600)
        assert "quick" in await text(site, "quick")


async def used_up(site: SiteProcess, words: str) -> None:
    """Render a text that costs too much; it is sent again while the machine is too busy for it."""
    while True:
        try:
            await text(site, words)
        except SiteLate:
            site._limits = AnswerLimits(loading=600, text=2 * site._limits.text)
        else:
            return


def test_on_a_busy_machine_a_text_has_three_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the processor time, and not how much of it others have left: a text that has
    not used it up is not at fault.
    """
    requests, ours = os.pipe()
    pipes = socket.socketpair()
    supervisor = Supervisor(cast("Any", None), cast("Any", None), requests, ours)
    refused = list[str]()
    monkeypatch.setattr(supervisor, "_give_up", lambda _, why: refused.append(why.kind))
    copy = _Copy(0, pipes[0], MANY, job=Frame(1, MANY, 10_000_000, b""))
    supervisor._copies.append(copy)
    try:
        for passed, used, result in (
            (9e3, 9e3, []),
            (29e3, 9e3, []),
            (11e3, 1e4, ["slow"]),
            (31e3, 1.0, ["late"]),
            (31e3, 1e4, ["slow"]),
        ):
            monkeypatch.setattr(_Copy, "used", lambda _, used=used: used)
            copy.since = time.monotonic() - passed
            supervisor._check_deadlines()
            assert refused == result
            refused.clear()
    finally:
        supervisor._selector.close()
        for each in pipes:
            each.close()
        os.close(requests)
        os.close(ours)


async def test_a_text_that_is_late_without_fault_may_be_sent_again(tmp_path: Path) -> None:
    conf = BUSY.replace("            pass", "            time.sleep(600)")
    limits = AnswerLimits(loading=600, text=0.2)
    async with opened(tmp_path, f"import time\n{conf}", limits=limits, patience=0.05) as site:
        with pytest.raises(SiteLate, match="in time") as caught:
            await text(site, "endless")
        assert (caught.value.status, caught.value.retry_after) == (503, 10)


@pytest.mark.parametrize("late", [1, 2])
async def test_a_file_that_is_late_is_read_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    """The index must neither lack a post because the machine was busy, nor wait for ever."""
    left = [late]
    async with opened(tmp_path) as site:
        ask = site._ask

        async def ask_late(question: Any, *rest: Any) -> Any:
            # Among others it is late, too, and then they are read in halves.
            is_late = any(b"late" in each.data for each in question.files)
            if is_late and (len(question.files) > 1 or left[0]):
                left[0] -= len(question.files) == 1
                raise SiteLate("late", retry_after=1)
            return await ask(question, *rest)

        monkeypatch.setattr(site, "_ask", ask_late)
        files = [
            Source(f"content/{name}.md", name, f"Title: {name}\nDate: 2026-01-01\n".encode())
            for name in ("first", "late", "last")
        ]
        described = await site.describe(files)
    expected = IndexedPost if late == 1 else Unread
    assert [type(each) for each in described] == [IndexedPost, expected, IndexedPost]


#: A Markdown that reads a text when a file says so.
WAITING = BUSY.replace(
    'while any("endless" in line for line in lines):', 'while "Wait" in lines and not GO.exists():'
).replace("import os", "import os, pathlib\nGO = pathlib.Path(os.environ['TMPDIR']) / 'go'", 1)


async def test_no_text_is_rendered_while_the_checkout_is_updated(tmp_path: Path) -> None:
    async with opened(tmp_path, WAITING, limits=AnswerLimits(loading=600, moving=600)) as site:
        content = tmp_path / "site/content"
        under_way = asyncio.create_task(site.ask(in_file("Wait")))
        await until(lambda: any(content.rglob("*.md")))
        holding = asyncio.create_task(moved(site, content))
        await asyncio.sleep(0.1)
        after = asyncio.create_task(site.ask(in_file("Words")))
        await asyncio.sleep(0.1)
        assert not holding.done()
        go(site)
        assert (await under_way).places
        await holding
        assert (await after).places


async def test_a_text_that_was_not_rendered_in_time_is_retried(tmp_path: Path) -> None:
    async with opened(tmp_path, WAITING, limits=AnswerLimits(loading=600, moving=0.05)) as site:
        content = tmp_path / "site/content"
        under_way = asyncio.create_task(site.ask(in_file("Wait")))
        await until(lambda: any(content.rglob("*.md")))
        async with site.held():
            shutil.rmtree(content)
        go(site)
        assert (await under_way).places


async def test_a_text_is_rendered_although_its_caller_was_cancelled(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, WAITING, limits=AnswerLimits(loading=600, moving=600)) as site:
        content = tmp_path / "site/content"
        under_way = asyncio.create_task(site.ask(in_file("Wait")))
        await until(lambda: any(content.rglob("*.md")))
        under_way.cancel()
        holding = asyncio.create_task(moved(site, content))
        await asyncio.sleep(0.1)
        assert not holding.done()
        go(site)
        await holding


def in_file(words: str) -> PostQuestions:
    return PostQuestions(
        place=Locate(f"Title: x\nDate: 2026-11-21\nSlug: y\nCategory: z\n\n{words}\n")
    )


def go(site: SiteProcess) -> None:
    Path(site._sandbox.environment()["TMPDIR"]).joinpath("go").touch()


async def moved(site: SiteProcess, content: Path) -> None:
    """As git does it: files that are in neither version are removed."""
    async with site.held():
        assert not any(content.rglob("*.md"))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not true():
            await asyncio.sleep(0.01)


async def test_the_number_of_concurrent_slow_texts_is_limited(tmp_path: Path) -> None:
    limits = AnswerLimits(loading=600, text=3600, overdue=600)
    async with opened(tmp_path, BUSY, limits=limits, patience=0.1, most_slow=1) as site:
        first = asyncio.create_task(text(site, "endless"))
        await asyncio.sleep(0.3)
        with pytest.raises(Unavailable, match="other long texts"):
            await text(site, "endless, too")
        first.cancel()


async def test_many_slow_texts_of_one_app_hardly_delay_another_app(tmp_path: Path) -> None:
    limits = AnswerLimits(loading=600, text=3600, overdue=600)
    # As long as no other app waits, all but one of them would have half an hour each.
    times = {"patience": 1800.0, "hurried": 0.05, "most_slow": 1}
    async with opened(tmp_path, BUSY, limits=limits, **times) as site, asyncio.timeout(600):
        APP.set(1)
        many = [asyncio.create_task(text(site, "endless")) for _ in range(5)]
        await asyncio.sleep(0.3)
        APP.set(2)
        for _ in range(3):
            assert "quick" in await text(site, "quick")
        ended = [each for each in many if each.done()]
        assert len(ended) < len(many)
        for each in ended:
            with pytest.raises(Unavailable, match="other long texts"):
                await each
        for each in many:
            each.cancel()


def test_no_app_has_its_turn_twice_while_another_waits() -> None:
    waiting, asked = _Questions(), [Frame(number, TEXT, 0, b"", 1) for number in range(4)]
    for each in asked[:3]:
        waiting.add(each)
    assert waiting.take()[0] is asked[0]
    other = Frame(9, TEXT, 0, b"", 2)
    waiting.add(other)
    waiting.add(asked[3])
    assert [waiting.take()[0].number for _ in range(4)] == [9, 1, 2, 3]
    waiting.add(other)
    waiting.take()
    waiting.add(asked[0])
    waiting.add_again(other)
    assert waiting.take() == (other, True)


async def test_only_the_text_that_kills_the_process_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, BUSY) as site:
        with pytest.raises(InvalidRequest, match="ended without an answer"):
            await text(site, "deadly")
        assert "quick" in await text(site, "quick")
        described = await site.describe(
            [
                Source(
                    f"content/{name}.md", name, f"Title: x\nDate: 2026-01-01\n\n{name}\n".encode()
                )
                for name in ("first", "deadly", "last")
            ]
        )
        assert [type(each) for each in described] == [IndexedPost, Unread, IndexedPost]


async def test_what_ends_the_process_once_is_asked_again(tmp_path: Path) -> None:
    async with opened(tmp_path, BUSY) as site:
        assert "mortal" in await text(site, "mortal")


async def test_a_process_that_died_is_restarted(tmp_path: Path) -> None:
    async with opened(tmp_path) as site:
        assert site._running is not None
        os.killpg(site._running.process.pid, signal.SIGKILL)
        assert (await site.ask(QUESTION)).places[0].slug == "y"


async def test_a_process_that_is_killed_while_it_loads_again_is_no_fault_of_the_settings(
    tmp_path: Path,
) -> None:
    """As by a system that is short of memory: apps may try again."""
    mortal = "import os\nif os.path.exists('deadly'):\n    os.kill(os.getpid(), 9)\n"
    async with opened(tmp_path, mortal) as site:
        deadly = Path(site._start.checkout, "deadly")
        deadly.touch()
        assert site._running is not None
        os.killpg(site._running.process.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="exited unexpectedly"):
            await site.ask(QUESTION)
        deadly.unlink()
        assert (await site.ask(QUESTION)).places[0].slug == "y"


async def test_a_process_that_hangs_is_killed_and_restarted(tmp_path: Path) -> None:
    async with opened(tmp_path, limits=AnswerLimits(loading=600, quick=0.1)) as site:
        assert site._running is not None
        before = site._running.process
        os.kill(before.pid, signal.SIGSTOP)
        with pytest.raises(Unavailable, match="does not answer"):
            await site.ask(PostQuestions(slugs=("x",)))
        assert before.returncode is not None
        # Loading it anew may take this machine longer than this test's limit for an answer.
        site._limits = AnswerLimits(loading=600, quick=600)
        assert (await site.ask(PostQuestions(slugs=("X",)))).slugs == ("x",)


async def test_a_process_that_hangs_is_killed_though_each_request_gives_up_before(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, limits=AnswerLimits(loading=600, quick=0.2)) as site:
        assert site._running is not None
        before = site._running.process
        os.kill(before.pid, signal.SIGSTOP)
        site._limits = AnswerLimits(loading=600, text=0.1, overdue=0.7)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await site.ask(QUESTION)
        async with asyncio.timeout(300):
            await before.wait()
        site._limits = AnswerLimits(loading=600, quick=600, text=600)
        assert (await site.ask(QUESTION)).places[0].slug == "y"


async def test_settings_that_hang_time_out(tmp_path: Path) -> None:
    site = process(
        lay_out(tmp_path / "site", {}, "while True: pass"), limits=AnswerLimits(loading=0.5)
    )
    with pytest.raises(SiteBroken, match="longer than"):
        await site.load()
    await site.close()


@pytest.mark.cold
async def test_nothing_is_left_running(tmp_path: Path) -> None:
    async with opened(tmp_path, BUSY, patience=0.05) as site:
        slow = asyncio.create_task(text(site, "endless"))
        await asyncio.sleep(0.3)
        assert site._running is not None
        group = site._running.process.pid
    with pytest.raises(Unavailable):
        await slow
    deadline = time.monotonic() + 300
    while is_there(group):  # what is killed is not gone at once
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@pytest.mark.cold
async def test_settings_get_pelicans_environment_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_PUBLISH__TOKEN", "secret-in-the-environment")
    monkeypatch.setenv("SOME_TOKEN", "secret-in-the-environment")
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # in a container a user may have no name
        monkeypatch.setenv("LOGNAME", name := "somebody")
    conf = (
        CONF
        + "import getpass, json, os, sys\n"
        + "from mdext import WORDS\n"
        + "SITESUBTITLE = json.dumps([dict(os.environ), os.getcwd(), open('beside.txt').read(),"
        + " sys.path[0], os.listdir('content'), getpass.getuser(), sys.argv])\n"
    )
    lay_out(
        tmp_path / "site", {"beside.txt": "beside", "mdext.py": "WORDS = 1", "content/a.md": ""}
    )
    async with opened(tmp_path, conf) as site:
        seen, here, beside, first, listed, *rest = json.loads(site.facts.values["SITESUBTITLE"])
        assert "secret-in-the-environment" not in str(seen)
        assert Path(seen["HOME"]).is_relative_to(tmp_path / "state")
        assert Path(seen["TMPDIR"]).is_relative_to(tmp_path / "state")
        assert (here, beside, first, listed) == (str(tmp_path / "site"), "beside", "", ["a.md"])
        # As in a shell, although the system's list of users cannot be read.
        assert seen["PWD"] == here
        assert rest == [name, ["pelican", "content", "-s", "pelicanconf.py"]]


@pytest.mark.cold
@needs_landlock
async def test_a_text_cannot_include_files_outside_of_the_site(tmp_path: Path) -> None:
    places = [
        tmp_path / "bridge.toml",
        tmp_path / "state" / "indieauth.sqlite",
        Path("/etc/hostname"),
        Path(f"/proc/{os.getpid()}/environ"),
    ]
    markups = [
        ".. include:: {file}\n   :literal:\n",
        ".. include:: {file}\n",
        ".. raw:: html\n   :file: {file}\n",
        ".. csv-table::\n   :file: {file}\n",
        ".. code:: text\n   :file: {file}\n",
    ]

    async def shown(site: SiteProcess, markup: str) -> str:
        try:
            return await text(site, markup, "rst")
        except InvalidRequest as error:
            return str(error)

    mine = tmp_path / "site" / "content" / "mine.txt"
    async with opened(tmp_path) as site:
        assert site.confined
        for place in places[:2]:
            place.write_text("a secret")
        mine.write_text("no secret")
        assert "no secret" in await shown(site, markups[0].format(file=mine))
        for place in filter(Path.exists, places):
            secret = place.read_bytes().decode(errors="replace").strip("\0\n")
            for markup in markups:
                assert secret not in await shown(site, markup.format(file=place)), (place, markup)


@pytest.mark.cold
@needs_landlock
async def test_denied_files_are_reported_and_can_be_allowed_by_a_setting(tmp_path: Path) -> None:
    outside = tmp_path / "themes"
    outside.mkdir()
    (outside / "colours.py").write_text("COLOUR = 'green'")
    conf = CONF + f"try:\n    SITESUBTITLE = open({str(outside / 'colours.py')!r}).read()\n"
    conf += "except OSError:\n    SITESUBTITLE = 'refused'\n"
    async with opened(tmp_path, conf) as site:
        assert site.facts.values["SITESUBTITLE"] == "refused"
        assert site.denied == [str(outside / "colours.py")]
    site = process(tmp_path / "site")
    site._sandbox = Sandbox(tmp_path / "state", folders=(outside,))
    await site.load()
    assert site.facts.values["SITESUBTITLE"] == "COLOUR = 'green'"
    await site.close()


@needs_landlock
async def test_a_theme_outside_of_the_site_is_reported(tmp_path: Path) -> None:
    """Only the build needs it, but the message of this process says why it is not found."""
    templates = tmp_path / "themes" / "mine" / "templates"
    templates.mkdir(parents=True)
    async with opened(tmp_path, f'{CONF}THEME = "../themes/mine"\n') as site:
        assert site.denied == [str(templates)]
        assert (await site.ask(QUESTION)).places


async def test_missing_landlock_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sandbox, "grants", lambda *_, **__: None)
    async with opened(tmp_path) as site:
        assert not site.confined
        assert caplog.text.count("no Landlock") == 1


@pytest.mark.cold
@needs_landlock
def test_a_confined_command_can_only_access_its_tools(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    mine = tmp_path / "mine"
    mine.mkdir()
    system = system_grants(protected=[secret])
    grants = Grants((*system.read, str(mine)), (*system.write, str(mine)), system.list)
    script = (
        "git --version; grep -m 1 -o ^processor /proc/cpuinfo;"
        " echo written > x; cat ../secret /etc/hostname; kill -0 "
        f"{os.getpid()}"
    )
    ran = subprocess.run(
        confined_argv(["sh", "-c", script], grants),
        capture_output=True,
        text=True,
        check=False,
        cwd=mine,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ran.stdout.startswith("git version")
    assert "\nprocessor" in ran.stdout
    assert "\nsecret" not in ran.stdout
    assert ran.stderr.count("Permission denied") >= 2
    assert (mine / "x").read_text() == "written\n"
    if landlock_version() >= 6:
        assert ran.returncode != 0


@pytest.mark.cold
@needs_landlock
def test_a_program_may_be_confined_to_all_but_some_files(tmp_path: Path) -> None:
    """As the ``pelican`` is with which ``check`` compares."""
    state = tmp_path / "bridge" / "state"
    (state / "deep").mkdir(parents=True)
    (state / "deep" / "index").write_text("hidden")
    (state.parent / "bridge.toml").write_text("hidden")
    (state.parent / "theme").write_text("shown")
    (tmp_path / "tmp").mkdir()
    grants = all_but([state, state.parent / "bridge.toml"], write=[tmp_path / "tmp"])
    elsewhere = all_but([Path("/srv/bridge/state")], write=[])
    assert "/dev/shm" in elsewhere.write, "plugins that start processes need locks"
    script = (
        "cd bridge; cat theme bridge.toml state/deep/index "
        f"/proc/{os.getpid()}/environ;"
        " echo x > ../tmp/x; echo x > ../y; ls; cat /etc/passwd > /dev/null"
    )
    ran = subprocess.run(
        confined_argv(["sh", "-c", script], grants, tmp_path / "grants.json"),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ran.stdout == "shownbridge.toml\nstate\ntheme\n", ran.stderr
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["x"]
    assert not (tmp_path / "y").exists()


#: What a confined program can and cannot do besides files.
CONNECTING = """
import errno, multiprocessing, os, socket, sys

def refused(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return error.errno
    return 0

assert refused(socket.socket, socket.AF_UNIX) == errno.EACCES
assert refused(socket.socket, socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
one, other = socket.socketpair()
one.send(b"x")
assert other.recv(1) == b"x"
with socket.socket() as server, socket.socket() as client:
    server.bind(("127.0.0.1", 0))
    server.listen()
    client.connect(server.getsockname())
socket.getaddrinfo("localhost", 80)
with multiprocessing.Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(425, 8, ctypes.create_string_buffer(200)) == -1
assert ctypes.get_errno() == errno.ENOSYS
print("all is as it should be")
"""


@pytest.mark.cold
@needs_landlock
def test_a_confined_program_reaches_no_other_by_a_socket_that_is_a_file(tmp_path: Path) -> None:
    """The session's D-Bus starts any program for its user, an agent signs with any key."""
    system = system_grants(protected=[])
    grants = Grants((*system.read,), (*system.write, str(tmp_path)), system.list)
    ran = subprocess.run(
        confined_argv([sys.executable, "-c", CONNECTING], grants),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ran.stdout == "all is as it should be\n", ran.stderr


#: Settings that change what the process answers.
ANSWERING = """
import msgspec
from bridge.site.messages import Answer, Described
from bridge.site.pelican import serve
replace, encode = msgspec.structs.replace, serve._encode

def other(message):
    if isinstance(message, Answer) and message.places:
        place = message.places[0]
        location = replace(place.location, {location})
        message = replace(message, places=(replace(place, location=location, {place}),), {more})
    elif isinstance(message, Described):
        message = replace(message, files=tuple({files} for file in message.files))
    return encode(message)

serve._encode = other
"""


@pytest.mark.parametrize(
    "other",
    [
        {"place": "path='.github/workflows/x.md'"},
        {"place": "path='pelicanconf.py'"},
        {"place": "path='content/.x/y.md'"},
        {"place": "path='content/index.html'"},
        {"location": "save_as='../../bridge.toml'"},
        {"location": "save_as='/etc/passwd'"},
        {"more": "slugs=('a', 'b')"},
        {"files": "replace(file, save_as='a/../../bridge.toml')"},
    ],
)
async def test_no_answer_leads_out_of_the_site(tmp_path: Path, other: dict[str, str]) -> None:
    whole = {"place": "", "location": "", "more": "", "files": "file", **other}
    async with opened(tmp_path, CONF + ANSWERING.format(**whole)) as site:
        files = [Source("content/x.md", "1", QUESTION_TEXT.encode())]
        if "files" in other:
            (found,) = await site.describe(files)
            assert isinstance(found, Unread)
            assert "outside of the output folder" in found.reason
        else:
            with pytest.raises(Unavailable, match="invalid answer"):
                await site.ask(QUESTION)


async def test_what_the_site_prints_does_not_hold_it_up(tmp_path: Path) -> None:
    printing = "import sys\nprint('x' * 5_000_000, file=sys.stderr, flush=True)\n"
    async with opened(tmp_path, CONF + printing) as site:
        assert (await site.ask(QUESTION)).places


async def test_a_timeout_of_the_sites_for_its_sockets_is_not_ours(tmp_path: Path) -> None:
    impatient = "import socket\nsocket.setdefaulttimeout(0.001)\n"
    async with opened(tmp_path, BUSY + impatient) as site:
        first = await text(site, "process")
        await asyncio.sleep(0.3)
        assert await text(site, "process") == first, "it was still there"


def test_packages_that_are_symlinks_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, packages = tmp_path / "store", tmp_path / "lib" / "site-packages"
    for file in ("one/a.py", "two/b/__init__.py", "three/pelican/plugins/c/__init__.py"):
        (store / file).parent.mkdir(parents=True)
        (store / file).touch()
        link = packages / file.partition("/")[2]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(store / file)
    monkeypatch.syspath_prepend(str(packages))
    read = system_grants(protected=[]).read
    assert {str(store / name) for name in ("one", "two", "three")} <= set(read)


def test_a_python_folder_with_secrets_in_it_can_only_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(tmp_path.resolve()) in system_grants(protected=[]).read
    grants = system_grants(protected=[tmp_path / "bridge.toml"])
    assert str(tmp_path.resolve()) not in grants.read
    assert str(tmp_path.resolve()) in grants.list


@pytest.mark.cold
def test_modules_of_the_bridge_do_not_import_pelican() -> None:
    """No module that the bridge's process may import brings Pelican with it."""
    names = "import bridge.site.process, bridge.posts.post_files, bridge.posts.index, sys;"
    found = (
        "print([n for n in sys.modules if n.split('.')[0] in ('pelican','markdown','docutils')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", names + found],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ran.stdout.strip() == "[]"


@pytest.mark.cold
def test_html_parsers_are_not_imported_at_startup() -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import bridge.app, sys;"
            "print([n for n in ('mf2py', 'bs4', 'requests', 'html5lib') if n in sys.modules])",
        ],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ran.stdout.strip() == "[]"


def imported(file: Path) -> Iterator[str]:
    """All modules that a file imports, including those in functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_only_the_sites_process_imports_pelican() -> None:
    """:mod:`bridge.site.pelican`, the resident build, and what runs as ``pelican`` in its stead."""
    root = Path(__file__).parents[2] / "bridge"
    # The last is imported for its names, and has Pelican imported where it is run.
    program = root / "rebuild" / "local" / "plain_pelican.py"
    allowed = (root / "site" / "pelican", root / "rebuild" / "resident", program)
    # To parse all files would take a second.
    may_import = re.compile(r"(?m)^\s*(from|import)\s.*\b(pelican|markdown|docutils)\b")
    culprits = [
        f"{file.relative_to(root)}: {name}"
        for file in root.rglob("*.py")
        if not any(file.is_relative_to(folder) for folder in allowed)
        if may_import.search(file.read_text())
        for name in imported(file)
        if name.partition(".")[0] in {"pelican", "markdown", "docutils"}
    ]
    assert culprits == []


async def test_a_request_that_still_holds_a_replaced_site_is_retried(tmp_path: Path) -> None:
    async with opened(tmp_path / "old") as old, opened(tmp_path / "new") as new:
        await old.close()
        sites = iter((old, new))

        async def attempt() -> str:
            return (await next(sites).ask(QUESTION)).places[0].slug or ""

        with pytest.raises(SiteReplaced):
            await old.ask(QUESTION)
        assert await retry_on_conflict(attempt) == "y"


async def test_a_process_that_is_killed_before_it_loads_the_site_is_started_again(
    tmp_path: Path,
) -> None:
    """The settings are not to blame, which it had not seen."""
    site = process(lay_out(tmp_path / "site", {}))
    try:
        await site.start()
        started = site._started
        assert started
        os.kill(started.process.pid, signal.SIGKILL)
        await asyncio.wait({started._tasks[0]})
        await site.load()
        assert (await site.ask(QUESTION)).places[0].slug == "y"
    finally:
        await site.close()


@pytest.mark.parametrize("step", ["_launch", "_load"])
async def test_a_process_that_is_being_started_when_the_site_is_closed_is_ended(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else would end it."""
    site = process(lay_out(tmp_path / "site", {}))
    await site.load()
    assert site._running
    await site._drop(site._running)
    launched: list[RunningProcess] = []
    do_step, launch = getattr(site, step), site._launch

    async def launch_and_note() -> RunningProcess:
        launched.append(await launch())
        return launched[-1]

    async def close_meanwhile(*given: Any) -> Any:
        closing = asyncio.create_task(site.close())
        try:
            return await (launch_and_note() if step == "_launch" else do_step(*given))
        finally:
            await closing

    monkeypatch.setattr(site, "_launch", launch_and_note)
    monkeypatch.setattr(site, step, close_meanwhile)
    with pytest.raises(SiteReplaced):
        await site.ask(QUESTION)
    (running,) = launched
    assert running.process.returncode is not None


async def test_a_folder_of_pythonpath_may_be_in_the_checkout(tmp_path: Path) -> None:
    """As for `pelican`, which is run in a folder there: ``[site] environment`` may name it so."""
    conf = f"{CONF}import ours\nAUTHOR = ours.AUTHOR\n"
    root = lay_out(tmp_path / "site", {"blog/lib/ours.py": "AUTHOR = 'Ada'\n"}, conf)
    site = process(root)
    site._start = msgspec.structs.replace(site._start, run_in="blog")
    site._sandbox = msgspec.structs.replace(site._sandbox, extra={"PYTHONPATH": "lib"})
    try:
        assert (await site.load()).author == "Ada"
    finally:
        await site.close()


def test_a_folder_of_pythonpath_in_the_checkout_allows_none_of_the_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bridge runs where its own files are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bridge.toml").write_text("secret")
    search = os.pathsep.join([".", "lib", str(tmp_path / "modules")])
    grants = Sandbox(tmp_path / "state", extra={"PYTHONPATH": search}).grants()
    assert grants
    assert str(tmp_path / "modules") in grants.read
    assert {str(tmp_path), str(tmp_path / "lib")}.isdisjoint(grants.read)


async def test_a_post_can_be_prepared_for(tmp_path: Path) -> None:
    site = process(lay_out(tmp_path / "site", {}))
    site.expect()  # it is not loaded yet
    try:
        await site.load()
        running = site._running
        assert running
        site.expect()
        site.expect()
        assert len(running._unanswered) == 1
        async with site.held():
            assert not running._unanswered
            site.expect()
            assert not running._unanswered
        site.expect()
        assert (await site.ask(QUESTION)).places[0].slug == "y"
        assert await running.becomes_idle(600)
    finally:
        await site.close()


async def test_plugins_do_not_see_the_post_that_prepares(tmp_path: Path) -> None:
    conf = CONF + (
        "import types\nfrom pelican import signals\nlisten = types.ModuleType('listen')\n"
        "def note(content):\n    content.noted = True\n"
        "listen.register = lambda: signals.content_object_init.connect(note)\nPLUGINS = [listen]\n"
    )
    async with opened(tmp_path, conf) as site:
        site.expect()
        assert site._running
        assert not site._running._unanswered


async def test_requests_to_the_site_are_fast(tmp_path: Path) -> None:
    async with opened(tmp_path) as site:
        await site.ask(QUESTION)
        began = time.process_time()
        for _ in range(20):
            await site.ask(QUESTION)
        # The bridge's own part of it; a tenfold of what it takes on an idle machine.
        assert (time.process_time() - began) / 20 < 0.02


#: Reads files of one folder, one of them the same for all, each time with bytes of its own.
READING = """
import sys
from pathlib import Path
from bridge.site.pelican.reading import in_place

base, mine = Path(sys.argv[1]), sys.argv[2].encode()
for turn in range(150):
    for name in ("same.md", f"{sys.argv[2]}.md"):
        with in_place(base, f"notes/2026/{name}", mine, base):
            assert (base / "notes" / "2026" / name).read_bytes() == mine
"""


def test_forks_reading_in_one_folder_read_their_own_files(tmp_path: Path) -> None:
    content, locks = tmp_path / "content", tmp_path / "tmp"
    for folder in (content, locks):
        folder.mkdir()
    command = [sys.executable, "-c", READING, str(content)]
    # The site's process has a folder of its own for temporary files.
    own = {**os.environ, "TMPDIR": str(locks)}
    running = [subprocess.Popen([*command, str(number)], env=own) for number in range(4)]
    assert [each.wait() for each in running] == [0] * 4
    assert not [*content.iterdir()], "what was made for reading stays"


def test_programs_of_the_virtual_environment_are_found_without_activating_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for environment in (Sandbox(tmp_path).environment(), of_builds({})):
        found = shutil.which("pelican", path=environment["PATH"])
        assert found == str(Path(sys.executable).parent / "pelican")
    own = Sandbox(tmp_path, extra={"PATH": "/opt/bin"}).environment()
    assert own["PATH"] == "/opt/bin"


def test_our_own_modules_are_compiled_once_and_the_sites_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    environment = unconfined(Sandbox(tmp_path).environment())
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    look = "import os, sys; print(sys.dont_write_bytecode, os.environ['PYTHONDONTWRITEBYTECODE'])"
    argv = confined_argv((sys.executable, "-c", look), None)
    said = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "1"]
