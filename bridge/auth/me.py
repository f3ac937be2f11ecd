"""Profile URLs, and when two of them are the same (IndieAuth 3.2, 3.4)."""

from __future__ import annotations

from bridge.net.web_url import BadURL, WebURL, parse


def profile_url(raw: str) -> WebURL:
    """A URL that can stand for a person (IndieAuth 3.2). Raises :class:`BadURL`.

    A site on this machine (the demo, a test) is let through, port and all: no one else can be meant
    by it, and it can sign in nowhere else.
    """
    url = parse(raw)
    if url.is_loopback:
        return url
    # 3.2: "MUST NOT contain a port", and "hosts MUST be domain names".
    if url.port_given:
        raise BadURL("a profile URL has no port")
    if url.is_address:
        raise BadURL("a profile URL has a domain name, not an IP address")
    return url


def is_me(claimed: str, *own: str) -> bool:
    """Whether ``claimed`` is one of the owner's URLs: the profile URL or a listed alias.

    Case of the host, an empty path and an explicit default port make no difference; anything else
    does. What is not a URL belongs to no one.
    """
    try:
        canonical = str(parse(claimed))
    except BadURL:
        return False
    return any(canonical == str(parse(url)) for url in own)
