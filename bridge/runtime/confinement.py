"""Confines a process to the files that it may use, by the kernel's Landlock (Linux 5.13 and newer).

Child processes are confined alike, and no process can widen its grants. Pipes and files that are
already open stay usable.
A confined process can neither trace others nor read their memory and environment, and from Linux
6.12 on not signal them either.

:func:`run_confined` runs functions of the bridge's own so. The bridge moves checkouts, publishes
pages and removes files in folders that the site's code may write to at the same time. Between two
steps that code may swap a folder for a symbolic link, and have the bridge, or git on its behalf,
write elsewhere. The kernel confines threads one by one: what runs there, and each program that it
starts, changes files in the granted folders only, whatever leads out of them.

:func:`refuse_system_calls` refuses system calls that lead past the confinement to files (seccomp).
Landlock guards what is opened. A program that listens on a Unix socket is reached by its path
without opening a file: the session's D-Bus, which starts any program for its user, Docker, an agent
with keys. So a confined process gets no sockets of that kind (pairs that are connected to each
other, and the Internet's, stay), and no access to the kernel's keyrings.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import queue
import site
import stat
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from bridge.runtime.threads import start

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1
#: Making device nodes, which no site needs: root in a container may be able to.
_MAKE_DEVICES = 1 << 6 | 1 << 11
#: The rights that a rule for a single file may have.
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_READ = _EXECUTE | _READ_FILE | _READ_DIR
#: Abstract Unix sockets and signals, to processes that are not confined alike.
_SCOPES = 0b11

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_OF_ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "ssl", "resolv.conf", "hosts",
    "nsswitch.conf", "localtime", "timezone", "mime.types", "fonts", "ImageMagick-6",
    "ImageMagick-7", "alternatives",
)  # fmt: skip
#: Facts about the machine, from which libraries derive the number of their threads.
_MACHINE = (
    "/proc/cpuinfo", "/proc/meminfo", "/proc/version", "/proc/filesystems",
    "/sys/devices/system/cpu",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
#: In a home folder.
_SECRET = (
    ".ssh", ".gnupg", ".netrc", ".git-credentials", ".config", ".aws", ".azure", ".docker", ".kube",
    ".npmrc", ".pypirc", ".password-store", ".mozilla", ".thunderbird", ".local/share/keyrings",
)  # fmt: skip
#: Locks shared by processes (multiprocessing) are files here.
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the system's own name for it


class Grants(msgspec.Struct, frozen=True):
    """What a process may read and start (``read``), change as well (``write``), or only ``list``.

    A folder stands for everything below it. Paths that do not exist are ignored.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    list: tuple[str, ...] = ()


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


@cache
def landlock_version() -> int:
    """Which version of Landlock the kernel has; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG))
    return max(version, 0)


def confine(grants: Grants) -> bool:
    """Confine this thread, for good; ``False``, and nothing has happened, without Landlock.

    Threads and processes that it starts are confined with it: a program calls this before it starts
    any. Raises ``OSError`` where the kernel refuses.
    """
    version = landlock_version()
    if version < 1:
        return False
    handled = _rights_of(version)
    attributes = _Ruleset(handled, 0, _SCOPES if version >= 6 else 0)
    # Kernels refuse a structure longer than the one they know.
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    try:
        for paths, rights in (
            (grants.read, _READ),
            (grants.write, handled & ~_MAKE_DEVICES),
            (grants.list, _READ_DIR),
        ):
            for path in paths:
                _grant(ruleset, path, rights & handled)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def system_grants(*, protected: Iterable[Path]) -> Grants:
    """What every program of the site needs: the system's programs, and Python's folders.

    ``protected`` are folders and files with secrets: memory that processes share is not granted
    where one of them lies there. A folder of Python's in which one of them lies (a
    project's folder on ``PYTHONPATH``, say) can only be listed, apart from our packages in it.
    """
    secrets = [path.resolve() for path in protected]
    read, listed = [*_SYSTEM, *(f"/etc/{name}" for name in _OF_ETC), *_MACHINE, *_DEVICES], []
    # Python lists the folder of our packages to find them.
    listed.append(str(Path(__file__).resolve().parents[2]))
    for folder in _python_folders():
        if any(secret.is_relative_to(folder) for secret in secrets):
            listed.append(str(folder))
        else:
            read.append(str(folder))
    return Grants(tuple(read), tuple(_writable(secrets)), tuple(listed))


def all_but(hidden: Iterable[Path], *, write: Iterable[Path]) -> Grants:
    """Everything except these files and folders, other processes, and the secrets in a home folder;
    files can be written in ``write`` only.

    Rules only grant: so each folder on the way to what is hidden is granted entry by entry.
    """
    home = Path.home()
    own = {home / name for name in _SECRET}
    secret = {*(path.resolve() for path in hidden), *own, Path("/proc")}
    on_the_way = {parent for path in secret for parent in path.parents}
    read, listed, waiting = list[str](), list[str](), [Path("/")]
    while waiting:
        folder = waiting.pop()
        listed.append(str(folder))
        try:
            entries = [*folder.iterdir()]
        except OSError:
            continue
        for entry in entries:
            # A link would grant its target, which is granted where it is.
            if entry in secret or entry.is_symlink():
                continue
            if entry in on_the_way:
                waiting.append(entry)
            else:
                read.append(str(entry))
    return Grants(tuple(read), (*_writable(secret), *map(str, write)), tuple(listed))


def _writable(secrets: Iterable[Path]) -> list[str]:
    """What every program may write to."""
    shared = any(secret.is_relative_to(_SHARED_MEMORY) for secret in secrets)
    return [*_DEVICES[:3], *([] if shared else [_SHARED_MEMORY])]


def _python_folders() -> list[Path]:
    """Where this interpreter and what is installed for it are.

    Not the folder of the program that was started, nor the current one: Python has them on its
    path, too, and ``bridge.toml`` may be there.
    """
    here = Path(__file__).resolve().parents[1]
    started = {str(Path.cwd()), str(Path(sys.argv[0]).resolve().parent), ""}
    searched = [Path(entry).resolve() for entry in sys.path if entry not in started]
    places = {
        *(Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)),
        *(Path(path).resolve() for path in sysconfig.get_paths().values()),
        *(Path(path).resolve() for path in site.getsitepackages()),
        *(folder for folder in searched if folder.is_dir()),
        # This project's own packages, wherever they were installed from.
        here,
        here.with_name("pelican_indieauth"),
        here.with_name("namespace"),
        # What pip leaves in a clone that it has installed from: Python looks there for plugins.
        *here.parent.glob("*.egg-info"),
    }
    packages = [place for place in places if place.name in {"site-packages", "dist-packages"}]
    places.update(linked for folder in packages for linked in _linked_from(folder))
    return sorted(place for place in places if place.exists() and place != Path("/"))


@cache
def _linked_from(packages: Path) -> frozenset[Path]:
    """Where the files of packages really are, for installers that link them from a store."""
    found = set[Path]()
    for depth, pattern in ((1, "*.py"), (2, "*/__init__.py"), (4, "pelican/plugins/*/__init__.py")):
        for file in packages.glob(pattern):
            if file.is_symlink() and not (real := file.resolve()).is_relative_to(packages):
                found.add(real.parents[depth - 1])
    return frozenset(found)


def _rights_of(version: int) -> int:
    rights = _FIRST_RIGHTS
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL)):
        rights |= right if version >= since else 0
    return rights


def _grant(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        rule = _PathBeneath(rights, place)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    except OSError as error:
        # What is not on a file system (a socket of the kernel's own, say) cannot be granted.
        if error.errno != errno.EBADFD:
            raise
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


_T = TypeVar("_T")

#: Runs a function in the thread that waits, which is not confined, and returns what it returns.
Outside: TypeAlias = Callable[[Callable[[], Any]], Any]


def run_confined(grants: Grants | None, function: Callable[[Outside], _T]) -> _T:
    """Run a function in a thread that is confined, and wait for its end.

    It gets a function that runs others outside. ``None``: nothing is confined. Raises what the
    function raises.
    """
    if grants is None:
        return function(_directly)
    calls = queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]()
    result = Future[_T]()

    def outside(call: Callable[[], Any]) -> Any:
        future = Future[Any]()
        calls.put((call, future))
        return future.result()

    def run() -> None:
        try:
            confine(grants)
            _settle(result, lambda: function(outside))
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
            result.set_exception(error)
        finally:
            calls.put(None)

    thread = threading.Thread(target=run, name="confined", daemon=True)
    start(thread)
    while (next_call := calls.get()) is not None:
        call, future = next_call
        _settle(future, call)
    thread.join()
    return result.result()


def _directly(function: Callable[[], Any]) -> Any:
    return function()


def _settle(future: Future[_T], function: Callable[[], _T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
        future.set_exception(error)


_SET_SECCOMP, _FILTER = 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
#: Where struct seccomp_data has the call, the architecture, and the first argument.
_CALL, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_UNIX = 1


class _Machine(NamedTuple):
    """The kernel's numbers on one kind of processor."""

    architecture: int
    socket: int
    others: tuple[int, ...]


#: ``io_uring_setup`` (which opens sockets, too), ``add_key``, ``request_key``, ``keyctl``.
_MACHINES = {
    "x86_64": _Machine(0xC000003E, 41, (425, 248, 249, 250)),
    "aarch64": _Machine(0xC00000B7, 198, (425, 217, 218, 219)),
    "riscv64": _Machine(0xC00000F3, 198, (425, 217, 218, 219)),
}
#: From here on are the calls of another ABI on x86_64, with other numbers.
_X32 = 0x40000000


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("yes", ctypes.c_uint8),
        ("no", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("first", ctypes.POINTER(_Instruction)))


def refuse_system_calls() -> bool:
    """Refuse them to this thread and to all that it starts, for good.

    ``False``, and nothing has happened, on another system or processor, or without seccomp.
    """
    machine = _MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if machine is None or sys.maxsize < 1 << 32:
        return False
    program = _program(machine)
    instructions = (_Instruction * len(program))(*(_Instruction(*each) for each in program))
    given = _Program(len(program), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(given), 0, 0) == 0)


def _program(machine: _Machine) -> list[tuple[int, int, int, int]]:
    """The filter: instructions of classic BPF, each with how many to skip if so, and if not."""
    refuse = (_RETURN, 0, 0, _REFUSE | errno.EACCES)
    no_such_call = (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        # Programs of 32 bits have other numbers.
        (_EQUAL, 1, 0, machine.architecture),
        no_such_call,
        (_LOAD, 0, 0, _CALL),
        (_AT_LEAST, 0, 1, _X32),
        no_such_call,
    ]
    for number in machine.others:
        program += [(_EQUAL, 0, 1, number), no_such_call]
    return [
        *program,
        (_EQUAL, 0, 3, machine.socket),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 1, _UNIX),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
    ]
