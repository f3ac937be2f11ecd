"""Starts Python programs as forks of a process that has imported everything, which takes no time.

That process has also compiled the templates that most sites here use. While this is on, whenever a
process (a test, the bridge, a command) starts this interpreter, it gets a fork of the warm process
instead, with the same arguments, environment, folder, streams and session, and as its own child:
the warm process is its child, too, and forks siblings of itself.
`make soak` starts all programs cold, and so do tests marked ``cold``: those about imports, about
the files that a confined process may read, and about processes found by their command line.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import io
import json
import locale
import multiprocessing
import os
import pickle
import pkgutil
import platform
import re
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import argon2

PATIENCE = 600
#: Regular expressions that :mod:`re` keeps compiled. All that is imported here has more than 512.
PATTERNS = 10_000

#: Replaces that of a real bridge, which takes a tenth of a second.
CHEAP_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

#: For functions of tests that run in a subprocess.
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["bridge.store.git"])

#: All modules of these are imported: parts of the bridge are imported once it answers, which would
#: otherwise be done in each of hundreds.
_PACKAGES = ("bridge", "pelican_indieauth")
#: What else programs import when they start, and Pelican and docutils only when needed.
_IMPORTED = [
    "bridge.rebuild.resident.program", "PIL.GifImagePlugin", "PIL.PngImagePlugin", "mf2py",
    "docutils.core", "docutils.parsers.rst.directives.images", "docutils.writers.html4css1",
    "markdown.extensions.codehilite", "markdown.extensions.extra", "markdown.extensions.meta",
    "pelican", "pelican.readers", "pelican.tools.pelican_quickstart",
    "encodings.utf_8_sig", "rich._emoji_codes", "rich.status", "rich.table",
    "pelican.plugins.i18n_subsites", "pelican.plugins.image_process", "pelican.plugins.neighbors",
    "pelican.plugins.related_posts", "pelican.plugins.seo", "pelican.plugins.series",
    "pelican.plugins.sitemap",
]  # fmt: skip
#: Environments whose filters and tests are the same in every process.
_TEMPLATING = {"_operator", "builtins", "jinja2", "markupsafe", "pelican", "pelican_indieauth"}
_OPTIONS = (
    "block_start_string", "block_end_string", "variable_start_string", "variable_end_string",
    "comment_start_string", "comment_end_string", "line_statement_prefix", "line_comment_prefix",
    "trim_blocks", "lstrip_blocks", "newline_sequence", "keep_trailing_newline", "optimized",
    "autoescape", "is_async",
)  # fmt: skip
#: Environment variables of Python and of its memory that :func:`_become` handles.
_UNDERSTOOD = {
    "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONUNBUFFERED",
    "MALLOC_ARENA_MAX",
}  # fmt: skip
#: The variable that names a connection to a process that has imported everything already.
_INHERITED = "WARM_CONNECTION"
_ARENA_MAX = -8
#: How xdist starts a process that runs tests.
_WORKER = ["-u", "-c"]
_NAME = 15
_MADV_COLLAPSE = 25
_GET_TID_ADDRESS = 40
_CLONE_PARENT = 0x8000
_CLONE_CHILD_SETTID = 0x1000000
_CLONE_CHILD_CLEARTID = 0x200000
#: The number of the system call ``clone``, by the kind of the processor.
_CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine())
#: Whether programs can be started like this here.
POSSIBLE = sys.platform == "linux" and _CLONE is not None
_NOT_A_CHILD = 70

#: The paths of Python and of installed packages, without those that tests add.
_INSTALLED = [
    place
    for place in sys.path
    if Path(place).is_relative_to(sys.base_prefix) or place.endswith("site-packages")
]


class Warm:
    """A process that has imported everything, and forks on demand for the process that created this
    object.

    A fork of it inherits this object, but starts programs cold: it could not get the exit status of
    a program that is not its child (``subprocess`` takes ``ECHILD`` as status 0).
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        """``connect`` opens a connection to that process; it is called whenever a program is
        started.
        """
        self._connect = connect
        self._asker = os.getpid()
        self._lock = threading.Lock()
        self._cold = subprocess._fork_exec  # type: ignore[attr-defined] # how subprocess starts all
        self._for_workers = False

    def start(self) -> None:
        """Start that process now, so that it imports everything while other things are done."""
        with self._lock:
            self._connect()

    @contextmanager
    def used(self) -> Iterator[None]:
        """All programs that run this interpreter are started as forks in the block."""
        self.use()
        try:
            yield
        finally:
            subprocess._fork_exec = self._cold  # type: ignore[attr-defined]

    @contextmanager
    def given_to_workers(self) -> Iterator[None]:
        """Processes of xdist that are started in the block get a fork of that process as a child,
        instead of each importing everything once more.
        """
        self._for_workers = True
        with self.used():
            yield

    def use(self) -> None:
        """The same, until this process ends."""
        subprocess._fork_exec = self._fork_exec  # type: ignore[attr-defined]

    def _fork_exec(self, *given: Any) -> int:
        """Replaces the function with which :mod:`subprocess` starts a program; returns its pid."""
        argv, programs, close_fds, kept, cwd, env = given[:6]
        error_pipe, restore, session, group = given[13:17]
        argv = [os.fsdecode(each) for each in argv]
        variables = _variables(env)
        is_ours = (
            os.getpid() == self._asker
            and [os.fsdecode(each) for each in programs] == [sys.executable]
            and close_fds
            and tuple(kept) == (error_pipe,)
            and restore
            and group == -1
            and given[-2] is None
            and all(each in (None, -1) for each in given[17:21])
            and (cwd is None or Path(os.fsdecode(cwd)).is_dir())
            and (argv[1:3] == _WORKER if self._for_workers else _can_become(argv, variables))
        )
        if not is_ours:
            return int(self._cold(*given))
        streams = [
            mine if asked == -1 else asked
            for mine, asked in zip((0, 1, 2), (given[6], given[9], given[11]), strict=True)
        ]
        order = {
            "argv": argv,
            "cwd": os.fsdecode(cwd or Path.cwd()),
            "env": variables,
            "session": bool(session),
            "parent": self._asker,
            "worker": self._for_workers,
        }
        return self._ask(json.dumps(order).encode(), streams)

    def _ask(self, order: bytes, streams: Sequence[int]) -> int:
        """The pid of the fork. Raises :class:`ChildProcessError` if it is not a child of this
        process.
        """
        with self._lock:
            pipe = self._connect()
            socket.send_fds(pipe, [len(order).to_bytes(4, "big")], streams)
            pipe.sendall(order)
            pid = int.from_bytes(_exactly(pipe, 4), "big")
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return pid


@contextmanager
def warm() -> Iterator[Warm]:
    """A process that has imported everything, for the whole test run. Only on Linux.

    It is a fork of one that other workers have, too, if this worker has been given it.
    """
    if _INHERITED in os.environ:
        # Programs that tests start have none.
        with socket.socket(fileno=int(os.environ.pop(_INHERITED))) as given:
            given.set_inheritable(False)
            yield Warm(lambda: given)
        return
    here = Path(__file__).parent
    path = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    # As builds set them: the hash seed, and the width of log output.
    asked = {"PYTHONHASHSEED": "0", "COLUMNS": "1000", "NO_COLOR": "1"}
    env = {**os.environ, **asked, "PYTHONPATH": os.pathsep.join(path)}
    with ExitStack() as stack:

        @cache
        def connect() -> socket.socket:
            ours, theirs = socket.socketpair()
            with theirs:
                code = f"import warm_kit; warm_kit.main({theirs.fileno()})"
                process = subprocess.Popen(
                    [sys.executable, "-c", code], cwd=here, env=env, pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )  # fmt: skip
            stack.enter_context(process)
            return stack.enter_context(ours)

        yield Warm(connect)


def _variables(env: Sequence[bytes] | None) -> dict[str, str]:
    if env is None:
        return dict(os.environ)
    pairs = (os.fsdecode(each).partition("=") for each in env)
    return {name: value for name, _, value in pairs}


def _can_become(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a fork can replace a Python process that is started like this."""
    python = {name for name in env if name.startswith(("PYTHON", "MALLOC_"))}
    words = [word for word in argv[1:] if word not in ("-P", "-W", "-s", "ignore")]
    return (
        python <= _UNDERSTOOD
        and env.get("PYTHONHASHSEED", "0") == "0"
        and len(words) > 1
        and (words[0].endswith(".py") or words[0] in ("-m", "-c"))
        and words[1] not in ("pip", "venv", "pytest")
    )


def _exactly(pipe: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = pipe.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def main(pipe: int) -> None:
    """The warm process."""
    re._MAXCACHE = PATTERNS  # type: ignore[attr-defined] # it has no public name
    gc.disable()
    for package in map(importlib.import_module, _PACKAGES):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith(".__main__"):
                importlib.import_module(found.name)
    for name in _IMPORTED:
        importlib.import_module(name)
    _hash_cheaply()
    _know_markup()
    _know_templates()
    _know_expressions()
    gc.collect()
    gc.freeze()
    gc.enable()
    _use_large_pages()
    _serve(socket.socket(fileno=pipe))


def _hash_cheaply() -> None:
    """Passwords are hashed as in the tests' own process: a real hash takes 64 MB."""
    from bridge.indieauth.login import password  # noqa: PLC0415 # imported already

    password._HASHER = CHEAP_HASHER


def _use_large_pages() -> None:
    """Forking copies an entry for each page of memory, and there are fewer of large ones. Where
    the system has none, nothing changes.
    """
    madvise, size = ctypes.CDLL(None).madvise, 2 << 20
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        place, mode = line.split()[:2]
        start, end = (int(each, 16) // size * size for each in place.split("-"))
        start += size  # the first that begins inside
        if mode.startswith("rw") and "/" not in line and end > start:
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_COLLAPSE)


def _know_markup() -> None:
    """Do what is otherwise done once per process: compile expressions, load extensions, find
    packages.
    """
    import soupsieve  # noqa: PLC0415 # the tests' own process has no use for these
    from docutils.core import publish_parts  # noqa: PLC0415
    from markdown import Markdown  # noqa: PLC0415
    from pelican.settings import DEFAULT_CONFIG  # noqa: PLC0415

    from bridge.content.markup import note_grammar  # noqa: PLC0415
    from bridge.runtime.confinement import system_grants  # noqa: PLC0415
    from bridge.runtime.process import installed_code  # noqa: PLC0415
    from bridge.site.pelican.facts import code_version  # noqa: PLC0415

    extensions = DEFAULT_CONFIG["MARKDOWN"]["extension_configs"]
    Markdown(extensions=list(extensions), extension_configs=extensions).convert("# A\n\n*b*\n")
    publish_parts("A\n=\n\n*b*\n", writer_name="html5")
    soupsieve.compile(":root > a.b[href], c")
    note_grammar.tokens()
    note_grammar.in_label()
    system_grants(protected=())
    installed_code()
    code_version()


def _know_templates() -> None:
    """Compile the templates of three themes and of the plugin: half of the work in a small build.
    The templates of the bridge's pages, too.
    """
    import jinja2  # noqa: PLC0415 # the tests' own process has no use for them
    from pelican.settings import DEFAULT_CONFIG  # noqa: PLC0415
    from pelican.themes import notmyidea, simple  # noqa: PLC0415
    from pelican.utils import DateFormatter  # noqa: PLC0415

    from bridge.pages.render import _TEMPLATES as PAGES  # noqa: PLC0415
    from pelican_indieauth.templating import prepare  # noqa: PLC0415

    for name in PAGES.list_templates(extensions=["html"]):
        PAGES.get_template(name)
    jinja2.Environment.compile = compiling_once()  # type: ignore[method-assign]
    plain, stock = (Path(theme.__path__[0]) for theme in (simple, notmyidea))
    ours = Path(__file__).parents[1] / "sample_site" / "theme"
    themes = ((plain, False), (plain, True), (stock, False), (stock, True), (ours, True))
    for theme, with_plugin in themes:
        loader = jinja2.FileSystemLoader(theme / "templates")
        environment = jinja2.Environment(loader=loader, **DEFAULT_CONFIG["JINJA_ENVIRONMENT"])
        environment.filters["strftime"] = DateFormatter()
        if with_plugin:
            prepare(environment)
        for name in environment.list_templates(extensions=["html"]):
            environment.get_template(name)


def _know_expressions() -> None:
    """Compile the regular expressions that most programs compile when they start or build a site.

    Which these are says a fork that does it: it leaves nothing else behind here.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            before = set(re._cache)  # type: ignore[attr-defined] # it has no public name
            with tempfile.TemporaryDirectory() as folder:
                _load_and_build(Path(folder))
            new = [key[1:] for key in re._cache if key not in before]  # type: ignore[attr-defined]
            with os.fdopen(write, "wb") as pipe:
                pickle.dump([each for each in new if isinstance(each[0], str)], pipe)
            code = 0
        except BaseException:  # noqa: BLE001 # the fork must not go on as the warm process
            traceback.print_exc()
        os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    for pattern, flags in pickle.loads(said):
        re.compile(pattern, flags)


def _load_and_build(folder: Path) -> None:
    """What the site's process, Pelican's command and the bridge do with most sites here."""
    from pelican import main as pelican  # noqa: PLC0415 # the tests' own process has no use for it

    from bridge.commands.arguments import parser  # noqa: PLC0415
    from bridge.settings_file import load  # noqa: PLC0415
    from bridge.site.pelican.pelican_site import PelicanSite  # noqa: PLC0415

    conf, content, out = folder / "pelicanconf.py", folder / "content", folder / "output"
    content.mkdir()
    conf.write_text(
        'SITENAME, SITEURL, AUTHOR, PATH = "A", "https://example.com", "B", "content"\n'
        'FEED_DOMAIN, FEED_ALL_RSS = SITEURL, "feed.xml"\n'
    )
    (content / "2026-01-01-a.md").write_text(
        "Title: A\nDate: 2026-01-01\nTags: b, c\n\n# A *b*\n\n![c]({static}a.png)\n"
    )
    (content / "b.rst").write_text("B\n=\n\n:date: 2026-01-02\n\n*c*\n")
    parser().parse_args(["serve"])
    load(None, {"BRIDGE_SITE__ME": "https://example.com/", "BRIDGE_SITE__REPO": str(folder)})
    os.chdir(folder)  # plugins write where they are
    unread = io.StringIO()
    with redirect_stdout(unread), redirect_stderr(unread):
        PelicanSite.load(conf, uploads="media").facts()
        pelican([str(content), "-s", str(conf), "-o", str(out)])


def compiling_once() -> Callable[..., Any]:
    """In place of ``jinja2.Environment.compile``: a template is compiled once in a process."""
    import jinja2  # noqa: PLC0415 # few tests' own process has a use for it

    known = dict[tuple[object, ...], types.CodeType]()
    cold = jinja2.Environment.compile

    def compile_once(environment: jinja2.Environment, source: Any, *given: Any, **more: Any) -> Any:
        key = _of_a_template(environment, source, *given, **more)
        if key is None:
            return cold(environment, source, *given, **more)
        if key not in known:
            known[key] = cold(environment, source, *given)
        return _from_file(known[key], given[1])

    return compile_once


def _of_a_template(
    environment: Any, source: Any, *given: Any, **more: Any
) -> tuple[object, ...] | None:
    """Everything that a template's compiled code depends on, except its file name; ``None`` if
    unknown.

    Constant expressions are evaluated on compilation, so filters and tests matter.
    """
    if not isinstance(source, str) or len(given) != 2 or more or environment.extensions:
        return None
    used = [
        (name, getattr(function, "__module__", ""), getattr(function, "__qualname__", ""))
        for functions in (environment.filters, environment.tests)
        for name, function in functions.items()
        if name in source
    ]
    if any(module.partition(".")[0] not in _TEMPLATING for _, module, _ in used):
        return None
    options = [getattr(environment, name) for name in _OPTIONS]
    return source, given[0], environment.code_generator_class, *options, *used


def _from_file(code: types.CodeType, file: str) -> types.CodeType:
    """The same code, with another file name."""
    constants = (
        _from_file(each, file) if isinstance(each, types.CodeType) else each
        for each in code.co_consts
    )
    return code.replace(co_filename=file, co_consts=tuple(constants))


def _serve(pipe: socket.socket) -> NoReturn:
    """Fork for the process at the other end of the connection until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            data, streams, _, _ = socket.recv_fds(pipe, 4, 3)
            if not data:
                os._exit(0)
            size = int.from_bytes(data + _exactly(pipe, 4 - len(data)), "big")
            order = json.loads(_exactly(pipe, size))
        except (EOFError, ConnectionError):
            os._exit(0)
        pid = _fork_for_parent()
        if pid == 0:
            pipe.close()
            _become(order, streams)
        pipe.sendall(pid.to_bytes(4, "big"))
        for each in streams:
            os.close(each)


def _fork_for_parent() -> int:
    """Fork like :func:`os.fork`; the fork is a child of this process's parent."""
    python = ctypes.pythonapi
    thread = ctypes.c_void_p()
    python.prctl(_GET_TID_ADDRESS, ctypes.byref(thread), 0, 0, 0)
    # The C library knows a thread by its id, as after its own fork. Which argument is its place
    # depends on the processor; the other one is not used.
    flags = _CLONE_PARENT | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID | signal.SIGCHLD
    python.PyOS_BeforeFork()
    pid: int = python.syscall(_CLONE, flags, None, None, thread, thread)
    if pid == 0:
        python.PyOS_AfterFork_Child()
        return 0
    python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError("no fork")
    return pid


def _become(order: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    """Act as the Python process that was to be started, until it exits."""
    if os.getppid() != order["parent"]:
        os.write(streams[2], b"started for a process that is not its parent\n")
        os._exit(_NOT_A_CHILD)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    argv: list[str] = order["argv"]
    if order["session"]:
        os.setsid()
    os.chdir(order["cwd"])
    if order["worker"]:
        _start_worker(order, streams)
    if argv[1:3] == ["-m", "bridge"]:
        _warm_for_the_bridge(streams)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    tempfile.tempdir = None
    locale.setlocale(locale.LC_CTYPE, "")
    sys.dont_write_bytecode = bool(order["env"].get("PYTHONDONTWRITEBYTECODE"))
    if most := order["env"].get("MALLOC_ARENA_MAX"):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, int(most))
    os.execvp = _execvp  # type: ignore[assignment]
    _run(argv)


def _start_worker(order: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    """Become a Python that has imported nothing, with a fork of this process as its child."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        null = os.open(os.devnull, os.O_RDWR)
        for number, stream in enumerate((null, null, streams[2])):
            os.dup2(stream, number)
        for each in (null, *streams):
            os.close(each)
        _serve(theirs)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    ours.set_inheritable(True)
    env = {**order["env"], _INHERITED: str(ours.fileno())}
    os.execve(sys.executable, order["argv"], env)


def _warm_for_the_bridge(streams: Sequence[int]) -> None:
    """Processes that the bridge starts itself are forks of this process."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        for each in streams:
            os.close(each)
        _serve(theirs)
    theirs.close()
    Warm(lambda: ours).use()


def _execvp(program: str, argv: Sequence[str]) -> NoReturn:
    """A program that replaces itself: if by Python again, without starting it."""
    if program == sys.executable and _can_become(argv, os.environ):
        _run(list(argv))
    os.execvpe(program, list(argv), os.environ)


def _run(argv: list[str]) -> NoReturn:
    """Run what ``python`` would run, and exit like it, with its threads and exit handlers."""
    code = 0
    try:
        _interpret(argv)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 130
    except BaseException:  # noqa: BLE001 # as Python itself does
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def _interpret(argv: list[str]) -> None:
    """What ``python`` does with its arguments."""
    import pelican  # noqa: PLC0415 # the tests' own process has no use for it

    words, safe = argv[1:], False
    sys.orig_argv[:] = argv
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 # open to the end
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
    while words[0] in ("-P", "-W", "-s"):
        option = words.pop(0)
        safe = safe or option == "-P"
        if option == "-W":
            warnings.simplefilter(words.pop(0))  # type: ignore[arg-type] # "ignore" alone
    kind = words.pop(0) if words[0] in ("-m", "-c") else ""
    program, *arguments = words
    # Its command line stays that of the process that it was forked from, so its name says what it
    # is.
    ctypes.CDLL(None).prctl(_NAME, program[-15:].encode(), 0, 0, 0)
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    places = {"-m": str(Path.cwd()), "-c": "", "": str(Path(program).parent)}
    first = [] if safe else [places[kind]]
    sys.path[:] = [*first, *given, *_INSTALLED]
    sys.argv = ["-c" if kind == "-c" else program, *arguments]
    importlib.invalidate_caches()
    # Pelican looks for plugins in its namespace wherever Python looks for modules.
    pelican.__path__[:] = pkgutil.extend_path([str(Path(pelican.__file__).parent)], "pelican")
    if kind == "-m":
        imported = sys.modules.get(program)
        is_package = hasattr(imported, "__path__")
        sys.modules.pop(f"{program}.__main__" if is_package else program, None)
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    elif kind == "":
        runpy.run_path(program, run_name="__main__")
    else:
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(program, "<string>", "exec"), vars(module))


class Program(subprocess.Popen[bytes]):
    """``python -m``, with files for its streams."""

    def __init__(
        self, module: str, *arguments: str | Path, cwd: Path, env: Mapping[str, str],
        stdin: Path | None = None, stdout: Path, stderr: Path | None = None,
    ) -> None:  # fmt: skip
        """Start it; without ``stderr`` that is the same as ``stdout``."""
        for file in filter(None, (stdout, stderr)):
            file.write_bytes(b"")
        with (stdin or Path(os.devnull)).open("rb") as read, stdout.open("ab") as written:
            errors = stderr.open("ab") if stderr else written
            with errors:
                line = [sys.executable, "-m", module, *map(str, arguments)]
                super().__init__(line, cwd=cwd, env=env, stdin=read, stdout=written, stderr=errors)

    def wait(self, timeout: float | None = PATIENCE) -> int:
        """The exit status; killed if it does not end in time."""
        try:
            return super().wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            super().wait()
            raise


def run_module(
    module: str, *arguments: str | Path, cwd: Path, env: Mapping[str, str], text: str | None = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module`` to its end; ``text`` is its input."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], cwd=cwd, env=dict(env),
        input=text or "", capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False,
    )  # fmt: skip
