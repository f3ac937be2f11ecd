"""Profile URLs: validity and comparison (IndieAuth 3.2, 3.4)."""

from __future__ import annotations

from bridge.net.web_url import BadURL, WebURL, parse


def profile_url(raw: str) -> WebURL:
    """Parse a profile URL (IndieAuth 3.2). Raises :class:`BadURL`.

    A loopback host is allowed, with a port, for the demo and for tests: it identifies nothing on
    any other machine.
    """
    url = parse(raw)
    if url.is_loopback:
        return url
    # 3.2: "MUST NOT contain a port", and "hosts MUST be domain names".
    if url.port_given:
        raise BadURL("a profile URL must not have a port")
    if url.is_address:
        raise BadURL("a profile URL must have a domain name, not an IP address")
    return url


def is_me(claimed: str, *own: str) -> bool:
    """Whether ``claimed`` is one of the owner's URLs: the profile URL or an alias.

    The case of the host, an empty path and an explicit default port are ignored; everything else
    counts. Invalid URLs never match.
    """
    try:
        canonical = str(parse(claimed))
    except BadURL:
        return False
    return any(canonical == str(parse(url)) for url in own)
