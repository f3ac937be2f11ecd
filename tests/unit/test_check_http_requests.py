"""Why a URL could not be reached is told in words, without what aiohttp says about itself."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from bridge.commands.checks.http_requests import _reason, remedy_for

KEY = ConnectionKey("x.example", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None,
                    proxy_headers_hash=None)  # fmt: skip


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "it did not respond in time"),
        (aiohttp.ServerTimeoutError("x"), "it did not respond in time"),
        (
            aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(errno.ECONNREFUSED, "x")),
            "connection refused",
        ),
        (
            aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")),
            "name or service not known",
        ),
        (
            aiohttp.ClientConnectorCertificateError(
                KEY, ssl.SSLCertVerificationError(1, "expired")
            ),
            "expired",
        ),
        (ConnectionResetError(), "ConnectionResetError"),
        (aiohttp.ServerDisconnectedError(), "Server disconnected"),
    ],
)
def test_why_a_url_could_not_be_reached(error: Exception, words: str) -> None:
    assert _reason(error) == words


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(socket.EAI_NONAME, "name or service not known"), "DNS record"),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "network"),
        (ConnectionRefusedError(111, "connection refused"), ""),
    ],
)
def test_a_name_that_does_not_exist_is_no_server_that_is_down(error: OSError, told: str) -> None:
    remedy = remedy_for(error)
    assert told in remedy
    assert bool(told) == bool(remedy)
