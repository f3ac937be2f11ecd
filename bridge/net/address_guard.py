"""Decides which IP addresses may be connected to for an untrusted URL: only public ones.

This machine's own addresses are rejected even if they are public, since a firewall does not filter
connections from within.
"""

from __future__ import annotations

import errno
import ipaddress
import socket

#: Ranges that the ``ipaddress`` module counts as global although they are not public hosts.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # the host of a virtual machine at Azure
        "192.0.0.0/24",  # protocols' own (RFC 6890)
        "192.88.99.0/24",  # relays of 6to4, which are gone (RFC 7526)
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
#: The prefix of the IPv4 address in an ISATAP interface identifier (RFC 5214 6.1).
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
#: Documentation addresses (RFC 5737, RFC 3849), which no machine has.
_UNASSIGNED = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def may_connect(address: str, *, allow_loopback: bool = False) -> bool:
    """Whether an IP address is public, embedded IPv4 addresses included, and not this machine's.

    ``allow_loopback`` also accepts loopback addresses.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        hidden = _hidden_ipv4(ip)
        if hidden is not None:
            return may_connect(str(hidden), allow_loopback=allow_loopback)
        if ip.is_site_local:
            return False
    if ip.is_loopback:
        return allow_loopback
    if ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    if not ip.is_global or any(ip in network for network in _NOT_PUBLIC):
        return False
    return not is_own(str(ip))


def is_own(address: str) -> bool:
    """Whether an IP address belongs to one of this machine's interfaces.

    Asks the kernel, which lets a socket bind only to its own addresses. Where it is configured to
    bind to any (``ip_nonlocal_bind``), the source address for a connection to it tells, which for
    an own address is that address.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        if not _can_bind(family, address):
            return False
        return not _can_bind(family, _UNASSIGNED[family]) or _is_called_from_itself(family, address)
    except OSError as error:
        # Without this address family it cannot be reached anyway. Any other error: reject.
        return error.errno != errno.EAFNOSUPPORT


def _can_bind(family: socket.AddressFamily, address: str) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


def _is_called_from_itself(family: socket.AddressFamily, address: str) -> bool:
    """Whether the kernel would connect to this address from the same address; sends nothing."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 80))
        except OSError as error:
            if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
                return False
            raise
        return str(probe.getsockname()[0]) == address


def _hidden_ipv4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address embedded in an IPv6 address: mapped, 6to4, Teredo, NAT64, ISATAP; or
    ``None``.
    """
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _NAT64 or (int(ip) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    # The local NAT64 prefix may lead to any address the network's operator chose.
    return ipaddress.IPv4Address(0) if ip in _NAT64_LOCAL else None


def is_loopback(address: str) -> bool:
    """Whether an IP address is a loopback address, an embedded one included."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
