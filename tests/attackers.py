"""Clients that send without end, run as a separate program so that their processor time does not
count for a test.

Reads pickled orders, and answers each with the responses that the clients got.
"""

from __future__ import annotations

import pickle
import select
import socket
import sys
import time


def attack(port: int, first: bytes, again: bytes, count: int, seconds: float) -> list[bytes]:
    """Send ``first`` and then ``again`` repeatedly, for this long or until all connections
    are closed.
    """
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    left = dict.fromkeys(clients, first or again)
    answers = dict.fromkeys(clients, b"")
    for each in clients:
        each.setblocking(False)
    end = time.monotonic() + seconds
    while left and time.monotonic() < end:
        readable, writable, _ = select.select(list(left), list(left), [], 0.05)
        for each in readable:
            try:
                got = each.recv(4096)
            except OSError:
                got = b""
            answers[each] += got
            if not got:
                del left[each]
        for each in writable:
            if each in left:
                try:
                    left[each] = left[each][each.send(left[each]) :] or again
                except BlockingIOError:
                    continue
                except OSError:
                    del left[each]
    for each in clients:
        each.close()
    return list(answers.values())


if __name__ == "__main__":
    while True:
        try:
            order = pickle.load(sys.stdin.buffer)
        except EOFError:
            break
        pickle.dump(attack(*order), sys.stdout.buffer)
        sys.stdout.buffer.flush()
