"""Which IP addresses may be connected to for an untrusted URL: those of the public Internet only.

This machine's own addresses are refused as well, public ones included: what a firewall keeps from
the world is open from within.
"""

from __future__ import annotations

import errno
import ipaddress
import socket

#: Addresses that the ``ipaddress`` module takes for the public Internet's, and that are not.
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
#: What stands before an IPv4 address in the last half of an ISATAP address (RFC 5214 6.1).
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
#: Documentation's (RFC 5737, RFC 3849): they belong to no one.
_UNASSIGNED = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def may_connect(address: str, *, allow_loopback: bool = False) -> bool:
    """Whether an IP address is one of the public Internet's, seen through every disguise, and
    none of this machine's own. ``allow_loopback``: or a loopback address.
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
    """Whether an IP address is one of this machine's own, on any of its interfaces.

    The kernel is asked: only to its own addresses can a socket be bound. Where it is set up to
    bind to any (``ip_nonlocal_bind``), it says which address it would call from, which for one of
    its own is that very address.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        if not _can_bind(family, address):
            return False
        return not _can_bind(family, _UNASSIGNED[family]) or _is_called_from_itself(family, address)
    except OSError as error:
        # Without this kind of address there is no way to it. Whatever else is wrong: refuse.
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
    """Whether the kernel would call this address from this address; nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 80))
        except OSError as error:
            if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
                return False
            raise
        return str(probe.getsockname()[0]) == address


def _hidden_ipv4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, 6to4, Teredo, NAT64, ISATAP."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _NAT64 or (int(ip) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    # The local-use NAT64 prefix leads wherever the network's operator wants.
    return ipaddress.IPv4Address(0) if ip in _NAT64_LOCAL else None


def is_loopback(address: str) -> bool:
    """Whether an IP address leads back to this machine's loopback interface."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
