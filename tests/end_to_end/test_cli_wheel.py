"""From the installation to a post with the README's commands: the wheel in a new environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.parser import Parser
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import mf2py
import pytest
from cli_kit import OWNER, ROOT, commit, git, publish, quickstart, set_port
from demo_kit import PATIENCE, wait_until
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from process_kit import port_of_its_own
from soak_kit import SOAK, in_soak
from wheel_kit import pip, tracked

from bridge.commands.cli import EXTRA

README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Files with another path in the clone than in the wheel.
MOVED = {"namespace/": "", "sample_site/": "bridge/sample_site/", "docs/": "bridge/docs/"}


@dataclass(frozen=True)
class Newcomer:
    """A terminal in which the README's commands are typed."""

    home: Path
    environment: Path
    #: From the clone, in a process that starts warm, instead of the installed wheel.
    is_warm: bool = False

    def types(self, line: str, text: str = "") -> str:
        """Run a command of the README; returns its output."""
        assert re.search(rf"(?m)^{re.escape(line)}$", README), line
        done = self.run(*line.replace("~", str(self.home)).split(), text=text)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, command: str, *rest: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(command, *rest), cwd=self.environment.parent, env=self.variables(),
            input=text, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def argv(self, command: str, *rest: str) -> list[str]:
        if self.is_warm:
            assert Path(command).name == "micropub-bridge"
            return [sys.executable, "-m", "bridge", *rest]
        return [str(self.environment.parent / command), *rest]

    def variables(self) -> dict[str, str]:
        """A plain shell's variables, without any that lead to the clone."""
        plain = {"HOME": str(self.home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **OWNER}
        return {**plain, "PYTHONPATH": str(ROOT)} if self.is_warm else plain

    @contextmanager
    def left_running(self, line: str, ready: str, *more: str) -> Iterator[str]:
        """Run a command of the README until Ctrl-C; gives its output once it is ready."""
        assert line in README, line
        log = self.home / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self.argv(*line.split()), *more], cwd=self.environment.parent,
                env=self.variables(), stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        wait_until(lambda: ready in log.read_text() or process.poll() is not None, PATIENCE)
        assert process.poll() is None, log.read_text()
        try:
            yield log.read_text()
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(PATIENCE)
        assert code == 0, log.read_text()


def requirements(wheel: Path, *extras: str) -> set[str]:
    """The names of all distributions that `pip install` of the wheel installs."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        needed = Parser().parsestr(opened.read(name).decode()).get_all("Requires-Dist")
    found: set[str] = set()
    waiting = [(Requirement(line), extra) for line in needed or [] for extra in ("", *extras)]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        wanted = [name, *(f"{name}[{extra}]" for extra in requirement.extras)]
        if set(wanted) <= found:
            continue
        found.update(wanted)
        waiting += [
            (Requirement(line), extra)
            for line in metadata.requires(name) or []
            for extra in ("", *requirement.extras)
        ]
    return {name for name in found if "[" not in name}


def installed(wheel: Path, environment: Path, *extras: str) -> Path:
    """A new environment with the wheel; its dependencies are linked from ours, which is fast."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    ours = Path(sysconfig.get_path("purelib"))
    for name in requirements(wheel, *extras):
        listed = {Path(file) for file in metadata.distribution(name).files or []}
        sources = {file for file in listed if file.suffix == ".py"}
        # The list has those that pip compiled.
        compiled = {Path(cache_from_source(str(file))) for file in sources}
        for file in listed | {file for file in compiled if (ours / file).is_file()}:
            if ".." not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                (packages / file).symlink_to(ours / file)
    # Modules are compiled when they are imported.
    quick = ("--no-deps", "--no-index", "--no-compile")
    pip("--python", environment / "bin" / "python", "install", *quick, wheel)
    return environment


@pytest.fixture(params=[in_soak("wheel"), "clone"])
def newcomer(request: pytest.FixtureRequest, tmp_path: Path) -> Newcomer:
    """The state after `pip install 'pelican-indieauth[bridge]'`; the same from the clone, which is
    faster.
    """
    environment = tmp_path / "bridge" / "bridge-env"
    if request.param == "clone":
        environment.mkdir(parents=True)
        return Newcomer(tmp_path, environment, is_warm=True)
    return Newcomer(tmp_path, installed(request.getfixturevalue("wheel"), environment, "bridge"))


@pytest.fixture
def host(wheel: Path, tmp_path: Path) -> Newcomer:
    """The state after `pip install pelican-indieauth`, on a host that only builds the site."""
    return Newcomer(tmp_path, installed(wheel, tmp_path / "bridge" / "bridge-env"))


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    expected = set()
    for name in tracked("bridge", "pelican_indieauth", "namespace", "sample_site", "docs"):
        folder = name.partition("/")[0] + "/"
        expected.add(MOVED[folder] + name.removeprefix(folder) if folder in MOVED else name)
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert names == expected


async def test_from_nothing_to_a_post(
    newcomer: Newcomer, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    home, own = port_of_its_own(), port_of_its_own()
    me, bridge = f"http://127.0.0.1:{home}/", f"http://127.0.0.1:{own}/"
    site = quickstart(tmp_path / "my-site", url=me.rstrip("/"))
    commit(site)

    # 2. Set up.
    told = newcomer.types("bridge-env/bin/micropub-bridge init ~/my-site", text=f"\n{bridge}\n")
    assert f"Your site's URL [{me}]" in told
    lines = re.findall(r"(?m)^    (INDIEAUTH_.* = .*)$", told)
    assert lines == [
        f'INDIEAUTH_BRIDGE = "{bridge}"',
        f'INDIEAUTH_WEBMENTION = "{bridge}webmention"',
        'INDIEAUTH_NOT_ON_HOME = ["like", "repost", "rsvp"]',
    ]
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write("\n".join([*lines, ""]))
    commit(site, "Say where the bridge is")
    set_port(tmp_path / "bridge" / "bridge.toml", own)

    # 3. Run, and set up how to sign in.
    serving = newcomer.left_running("bridge-env/bin/micropub-bridge serve", "Set up how you sign")
    output = tmp_path / "bridge" / "output"
    with serving as log, web_server(output, home):
        (link,) = re.findall(r"Set up how you sign in: (\S+)", log)
        async with http.get(link) as answer:
            assert "password" in await answer.text()
        wait_until(lambda: f"{bridge}micropub" in read(output / "index.html"))

        # 4. Check. It builds the site twice; other tests have it do so in programs that start warm.
        if SOAK:
            told = newcomer.types("bridge-env/bin/micropub-bridge check")
            assert told.endswith("Everything works.\n")

        # 5. Post.
        token = newcomer.types("bridge-env/bin/micropub-bridge token create laptop").strip()
        url = curl(bridge, token)
        assert url == f"{me}hello-web.html"
        wait_until((output / "hello-web.html").exists)
        async with http.get(url) as answer:
            parsed = mf2py.parse(doc=await answer.text(), url=url)
        assert parsed["rels"]["micropub"] == [f"{bridge}micropub"]
        (entry,) = [item for item in parsed["items"] if item["type"] == ["h-entry"]]
        assert entry["properties"]["content"][0]["value"] == "Hello, web"
        wait_until(lambda: "Note: Hello, web" in git("log", "-1", "--format=%s", cwd=site))
    (file,) = site.glob("content/**/hello-web.md")
    assert file.read_text().endswith("Hello, web\n")


def test_the_plugin_installs_only_its_own_dependencies(wheel: Path) -> None:
    brought = requirements(wheel)
    bridges = requirements(wheel, "bridge") - brought
    assert {"pelican", "markdown", "nh3"} <= brought
    assert not {"aiohttp", "msgspec", "gitpython", "cryptography", "argon2-cffi"} & brought
    assert {"aiohttp", "msgspec", "gitpython", "cryptography", "argon2-cffi"} <= bridges


def test_the_command_knows_the_modules_of_the_extra(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        needed = Parser().parsestr(opened.read(name).decode()).get_all("Requires-Dist") or []
    extra = {
        canonicalize_name(Requirement(line).name) for line in needed if 'extra == "bridge"' in line
    }
    modules = metadata.packages_distributions()
    assert {canonicalize_name(modules[name][0]) for name in EXTRA} == extra


def test_the_command_without_the_bridge_says_what_to_install(host: Newcomer) -> None:
    command = "bridge-env/bin/micropub-bridge"
    assert host.run(command, "--version").returncode == 0
    for arguments in (["serve"], ["demo"], ["token", "list"], ["init", "."]):
        told = host.run(command, *arguments)
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr.startswith("micropub-bridge: ")
        # This environment has no pip, as those that uv makes.
        assert "uv pip install --python " in told.stderr
        assert told.stderr.endswith("/bridge-env/bin/python 'pelican-indieauth[bridge]'\n")
        assert "aiohttp" in told.stderr
        assert "Traceback" not in told.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("extra", ["", "[bridge]"])
def test_pip_brings_what_is_needed(wheel: Path, tmp_path: Path, extra: str) -> None:
    """The same from the package index."""
    environment = tmp_path / "bridge-env"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip("--python", environment / "bin" / "python", "install", f"{wheel}{extra}")
    newcomer = Newcomer(tmp_path, environment)
    told = newcomer.run("bridge-env/bin/micropub-bridge", "check")
    assert ("bridge.toml" if extra else "pelican-indieauth[bridge]") in told.stderr
    site = quickstart(tmp_path / "site")
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write('INDIEAUTH_BRIDGE = "https://bridge.example.com/"\n')
    subprocess.run(
        [environment / "bin" / "pelican", "content", "-s", "pelicanconf.py"], cwd=site,
        env=newcomer.variables(), check=True, capture_output=True,
    )  # fmt: skip
    assert "https://bridge.example.com/micropub" in (site / "output" / "index.html").read_text()
    frozen = subprocess.run(
        [environment / "bin" / "python", "-m", "pip", "list", "--format=freeze"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert ("aiohttp==" in frozen) == bool(extra)


@pytest.mark.soak
def test_a_host_that_builds_the_site_as_documented_names_the_bridge(
    host: Newcomer, wheel: Path, tmp_path: Path
) -> None:
    """GitHub's workflow, Netlify's file and Cloudflare's table have the same command, which
    is run.
    """
    docs = ROOT / "docs"
    texts = [
        (docs / "deploy" / "github-pages.yml").read_text(),
        (docs / "deploy" / "netlify.toml").read_text(),
        (docs / "deploy.md").read_text(encoding="utf-8").partition("## Cloudflare")[2],
    ]
    (command,) = {re.findall(r"pelican content [-\w. ]+", text)[0].strip() for text in texts}
    installs = (docs / "deploy" / "requirements.txt").read_text()
    assert installs == "pelican[markdown]\npelican-indieauth\n"

    site = quickstart(tmp_path / "site")
    with (site / "pelicanconf.py").open("a") as conf:
        conf.write('INDIEAUTH_BRIDGE = "https://bridge.example.com/"\n')
    python = host.environment / "bin" / "python"
    subprocess.run(
        [python, "-m", *command.split()], cwd=site, env=host.variables(), check=True,
        capture_output=True,
    )  # fmt: skip
    assert "https://bridge.example.com/micropub" in (site / "output" / "index.html").read_text()
    assert "Link: <https://bridge.example.com/" in (site / "output" / "_headers").read_text()

    shutil.rmtree(host.environment)
    newcomer = Newcomer(tmp_path, installed(wheel, host.environment, "bridge"))
    for name, target in (
        ("github-pages.yml", ".github/workflows/publish.yml"),
        ("netlify.toml", "netlify.toml"),
    ):
        (site / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(docs / "deploy" / name, site / target)
        commit(site)
        if not (tmp_path / "remote.git").exists():
            publish(site, tmp_path / "remote.git")
        where = (str(site), "--remote", str(tmp_path / "remote.git"))
        told = newcomer.run("bridge-env/bin/micropub-bridge", "init", *where, "--yes")
        assert f"Your host builds the site, by {target}," in told.stdout
        assert 'mode = "none"' in (tmp_path / "bridge" / "bridge.toml").read_text()
        (tmp_path / "bridge" / "bridge.toml").unlink()
        (site / target).unlink()


@pytest.mark.soak
@pytest.mark.parametrize("newcomer", ["wheel"], indirect=True)
async def test_the_demo_needs_no_clone(newcomer: Newcomer, http: aiohttp.ClientSession) -> None:
    ready = "Ctrl-C ends it"
    command = "bridge-env/bin/micropub-bridge"
    with newcomer.left_running(command, ready, "demo", "--dir", "demo") as told:
        (site,) = re.findall(r"Open the site +(\S+)", told)
        async with http.get(site) as answer:
            assert answer.status == 200
            assert "Maren" in await answer.text()


@pytest.mark.nightly
@pytest.mark.parametrize("version", ["4.9.1", "4.10.2", "4.11.0"])
async def test_an_older_pelican_builds_by_command_and_says_so_in_one_line(
    wheel: Path, tmp_path: Path, http: aiohttp.ClientSession, version: str
) -> None:
    """Themes in use pin an older version: the plugin works in it, and the bridge's posts go
    live.
    """
    environment = tmp_path / "bridge" / "bridge-env"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    pip("--python", python, "install", f"{wheel}[bridge]", f"pelican=={version}")
    newcomer = Newcomer(tmp_path, environment)
    ready, command = "Ctrl-C ends it", "bridge-env/bin/micropub-bridge"
    with newcomer.left_running(command, ready, "demo", "--dir", "demo", "--port", "0"):
        demo = tmp_path / "bridge" / "demo"
        about = json.loads((demo / "demo.json").read_text())
        authorized = {"Authorization": f"Bearer {about['token']}"}
        note = {"h": "entry", "content": "Hello, old Pelican"}
        async with http.post(about["micropub"], data=note, headers=authorized) as answer:
            assert answer.status in {201, 202}
            page = demo / "output" / urlsplit(answer.headers["Location"]).path[1:] / "index.html"
        wait_until(lambda: "Hello, old Pelican" in read(page), PATIENCE)
        (entry,) = [
            item for item in mf2py.parse(doc=read(page))["items"] if "h-entry" in item["type"]
        ]
        assert entry["properties"]["content"][0]["value"] == "Hello, old Pelican"
    told = re.findall(r"(?m)^.*(?:WARNING|ERROR).*$", (tmp_path / "log").read_text())
    assert len(told) == 1, told
    assert f"built by command, since Pelican {version} is older than the resident" in told[0]


def curl(bridge: str, token: str) -> str:
    """The README's own command, with this bridge and token; returns the post's URL."""
    found = re.search(r'(?m)^curl https://bridge\.example\.com/micropub .*\\\n +.*"$', README)
    assert found
    line = found[0].replace("https://bridge.example.com/", bridge).replace("TOKEN", token)
    done = subprocess.run(
        ["/bin/sh", "-c", f"{line} --silent --show-error --dump-header -"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (location,) = re.findall(r"(?m)^Location: (\S+)", done.stdout)
    return str(location)


def read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


@contextmanager
def web_server(folder: Path, port: int) -> Iterator[None]:
    """A web server that serves the output folder."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--directory", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def is_listening() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    try:
        wait_until(is_listening)
        yield
    finally:
        process.terminate()
        process.wait()
