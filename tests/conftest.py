"""For all tests: missing programs, distribution to workers, and faster replacements."""

from __future__ import annotations

import gc
import locale
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path, PurePath

import argon2
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from PIL import Image
from rebuild_site import new_store
from soak_kit import SOAK
from warm_kit import CHEAP_HASHER, PATTERNS, POSSIBLE, Warm, warm
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from bridge import publisher
from bridge.auth import endpoint
from bridge.indieauth.login import mail, password
from bridge.indieauth.oauth import clients
from bridge.net.fetch import GuardedFetch
from bridge.posts.catalogue import Catalogue
from bridge.runtime import lifetime
from bridge.store.git import GitStore

pytest_plugins = ["secrets_kit", "wheel_kit"]

#: For each marker the program, and where to get it.
_PROGRAMS = {
    "browser": ("chromium", "Debian's package chromium"),
    "node": ("npm", "Node.js, with npm"),
    "nginx": ("nginx", "Debian's package nginx-light"),
    "caddy": ("caddy", "Debian's package caddy"),
    "apache": ("apache2", "Debian's package apache2"),
}

#: Files with long, independent tests: each test goes to the next free worker, before other files.
_APART = {
    "test_http_fuzz.py",
    "test_rebuild_bad_posts.py",
    "test_rebuild_equality.py",
    "test_rebuild_killed.py",
    "test_rebuild_odd_sites.py",
    "test_store_crash.py",
    "test_store_owner.py",
    "test_store_remote.py",
}
#: These share one demo, which takes longer to start than most of them.
_ONE_DEMO = {
    "test_cli_mentions.py",
    "test_cli_tokens.py",
    "test_main_job.py",
    "test_publishing.py",
    "test_status.py",
}
#: These share one mastodon-mock, which takes longer to start than most of them.
_ONE_MOCK = {
    "test_syndication_backfeed.py",
    "test_syndication_connecting.py",
    "test_syndication_once.py",
    "test_syndication_servers.py",
}
#: These share one wheel.
_ONE_WHEEL = {"test_cli_wheel.py", "test_plugin_pelican_usage.py"}
#: Folders with long tests, which start first.
_LONG = {"end_to_end", "plugin", "clients", "protocol", "syndication", "wire"}
#: Folders whose tests share a bridge or an installation.
_TOGETHER = {"clients", "protocol", "wire"}


def _use_no_settings() -> None:
    """Replace what the person who runs the tests has set for git (line endings, signatures,
    another repo), and leave out the language, which may not be installed: tests and their programs
    would follow it. Servers here are never behind a proxy.
    """
    for name in [*os.environ]:
        if name.startswith(("GIT_", "LC_")) or name in {"LANG", "LANGUAGE"}:
            del os.environ[name]
    os.environ["GIT_CONFIG_GLOBAL"] = str(Path(__file__).with_name("gitconfig"))
    os.environ["GIT_CONFIG_SYSTEM"] = os.devnull
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, ["127.0.0.1,localhost", os.environ.get(name)]))


def _use_memory() -> None:
    """Use memory for temporary folders, if it is large enough and may contain executables.

    Thousands of small repos are written, synced and removed, which takes half of the time on a
    disk.
    """
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK):
        room = os.statvfs(memory)
        is_large = room.f_bavail * room.f_frsize > 2 * 1024**3
        if is_large and not room.f_flag & os.ST_NOEXEC:
            os.environ["TMPDIR"] = tempfile.tempdir = str(memory)


def _use_folder_of_its_own() -> Path:
    """Have everything that is temporary, also for programs that tests start, in a folder that is
    removed when all tests have run. Beside it is what pytest keeps of those that failed.
    """
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="bridge-tests-")
    return Path(tempfile.tempdir)


_use_no_settings()
if "TMPDIR" not in os.environ and not SOAK:
    _use_memory()
#: A worker of xdist has that of the process that started it.
_FOLDER = None if "PYTEST_XDIST_WORKER" in os.environ else _use_folder_of_its_own()

re._MAXCACHE = PATTERNS  # type: ignore[attr-defined] # it has no public name
_WARM = pytest.StashKey[Warm]()
#: Where there are no more tests, it is likely that none starts a program.
_FEW = 200
_LOCALE = locale.setlocale(locale.LC_ALL)
_PIXELS = Image.MAX_IMAGE_PIXELS

#: The same examples on every machine, and new ones in each `make soak`. Without a deadline, since
#: machines may be busy.
settings.register_profile("every run", max_examples=40, derandomize=True, deadline=None)
settings.register_profile("soak", max_examples=5_000, deadline=None, print_blob=True)
settings.load_profile("soak" if SOAK else "every run")
if not SOAK:
    # Hypothesis would also draw what it finds in every imported module of ours. Then each edit
    # anywhere would change all examples, and so would the tests that ran before.
    providers._get_local_constants = Constants


def pytest_xdist_auto_num_workers() -> int:
    """``-n auto`` uses more workers than processors: tests wait half of their time (for
    pushes, retries, pages in a browser).
    """
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: no search for garbage is to look at it, neither now nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        # Most tests leave so little that to search after each 700 objects finds nothing.
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """A worker of xdist reports what matters."""
    if hasattr(config, "workerinput") and config.option.durations is None:
        config.pluginmanager.register(_ShortReports())


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    if _FOLDER is not None:
        shutil.rmtree(_FOLDER)


class _ShortReports:
    """Runs a test like pytest, and reports its result, and what failed before and after it.

    That a test begins, is set up, torn down and ends would be four more messages of a worker, which
    takes longer than a third of all tests.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if report.when == "call" or not report.passed:
                item.ihook.pytest_runtest_logreport(report=report)
        return True


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart(session: pytest.Session) -> Generator[None, object, object]:
    """For all tests, one process imports what programs need, and each worker gets a fork of it."""
    config = session.config
    is_all = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    starts_workers = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    with ExitStack() as stack:
        if is_all and starts_workers and not SOAK and POSSIBLE:
            stack.enter_context(stack.enter_context(warm()).given_to_workers())
        return (yield)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that are only for `make soak` or `make nightly`. Long tests come first."""
    config.hook.pytest_deselected(items=[item for item in items if not _is_due(item)])
    items[:] = [item for item in items if _is_due(item)]
    items.sort(key=lambda item: (item.path.name not in _APART, item.path.parent.name not in _LONG))


def _is_due(item: pytest.Item) -> bool:
    """Some take hours, or install packages for minutes: they run only if requested."""
    return not any(
        item.get_closest_marker(marker) and variable not in os.environ
        for marker, variable in (("soak", "BRIDGE_SOAK"), ("nightly", "BRIDGE_NIGHTLY"))
    )


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Assigns all tests of a file to one worker, since they share its fixtures."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePath(nodeid.partition("::")[0])
        if file.name in _APART:
            return nodeid
        if file.name in _ONE_DEMO:
            return "one demo"
        if file.name in _ONE_MOCK:
            return "one mock"
        if file.name in _ONE_WHEEL:
            return "one wheel"
        return file.parent.name if file.parent.name in _TOGETHER else file.name


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Distribute the files in the order of collection."""
    config.option.loadscopereorder = False
    return _Scheduling(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test if its program is missing, with a message; in CI it fails."""
    for marker, (program, source) in _PROGRAMS.items():
        if item.get_closest_marker(marker) and shutil.which(program) is None:
            missing = f"needs {program}: {source}"
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Programs start warm, unless the test is marked ``cold``.

    Pelican sets the locale of its process to that of the site, and processing photos sets the
    largest size that Pillow opens: neither must affect other tests or fixtures of a file.
    """
    is_warm = item.config.stash.get(_WARM, None) and not item.get_closest_marker("cold")
    try:
        with item.config.stash[_WARM].used() if is_warm else nullcontext():
            return (yield)
    finally:
        locale.setlocale(locale.LC_ALL, _LOCALE)
        Image.MAX_IMAGE_PIXELS = _PIXELS


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """The process that programs are forked from exists as long as this process runs tests."""
    config = session.config
    runs_tests = hasattr(config, "workerinput") or config.getoption("dist", "no") == "no"
    runs_tests = runs_tests and not config.option.collectonly
    with ExitStack() as stack:
        if runs_tests and not SOAK and POSSIBLE:
            forks = config.stash[_WARM] = stack.enter_context(warm())
            if len(session.items) > _FEW:
                # Some of so many start programs, and none is to wait for what these import.
                forks.start()
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def hasher_in_use() -> Iterator[argon2.PasswordHasher]:
    """Passwords are hashed cheaply in tests; this is the hasher of a real bridge."""
    in_use = password._HASHER
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(password, "_HASHER", CHEAP_HASHER)
        yield in_use


@pytest.fixture(scope="session", autouse=True)
def patient_requests() -> Iterator[None]:
    """Requests of this process may take minutes, where the bridge's wait for seconds: a machine
    that tests share may stand still for longer. Tests of a limit set their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "_SECONDS", 60.0)
        patch.setattr(mail, "_CLOSING_SECONDS", 60.0)
        # In tests of concurrent posts many wait for each other.
        patch.setattr(publisher, "_SECONDS", 240.0)
        # What is left behind at the end leaves pipes open, which a later test would be blamed for.
        patch.setattr(lifetime, "_CLOSE_SECONDS", 60.0)
        for function, limit in (
            (Catalogue.__init__, "seconds"),
            (Catalogue.__init__, "indexing"),
            (GuardedFetch.fetch, "timeout"),
            (endpoint.ask, "seconds"),
            (endpoint.IntrospectionVerifier.__init__, "seconds"),
            (endpoint.TokenEndpointVerifier.__init__, "seconds"),
        ):
            defaults = function.__kwdefaults__
            assert defaults is not None
            assert limit in defaults, f"{function.__qualname__} has no {limit}"
            patch.setitem(defaults, limit, 240.0)
        yield


@pytest.fixture
def bare_store(tmp_path: Path) -> Iterator[GitStore]:
    """A store in an empty bare repo, ``site.git``."""
    store = new_store(tmp_path / "site.git")
    yield store
    store.close()
