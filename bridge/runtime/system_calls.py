"""Refuses a process system calls that lead past its confinement to files: seccomp.

Landlock guards what is opened. A program that listens on a Unix socket is reached by its path
without opening a file: the session's D-Bus, which starts any program for its user, Docker, an agent
with keys. So a confined process gets no sockets of that kind (pairs that are connected to each
other, and the Internet's, stay), and no access to the kernel's keyrings.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import sys
from typing import NamedTuple

_SET_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38
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
