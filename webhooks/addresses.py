"""The addresses that webhooks may reach: public ones, and those in ``WEBHOOKS_ALLOWED_NETWORKS``.

A user who creates a webhook chooses where this server connects to. That must not be another server of the internal
network, nor a cloud's metadata service (SSRF protection).
"""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from webhooks.conf import conf

Address = IPv4Address | IPv6Address

# Not Python's ``is_global``: its result differs between the supported releases of Python.
NON_PUBLIC_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this" host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's address translation; some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host, seen from its virtual machines
        "169.254.0.0/16",  # link-local; clouds' metadata at 169.254.169.254
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

# Global unicast. Loopback, link-local, unique local and multicast addresses are outside of it.
PUBLIC_IPV6 = IPv6Network("2000::/3")
NON_PUBLIC_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo, whose addresses contain an IPv4 address of the sender's choice
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)

NAT64 = IPv6Network("64:ff9b::/96")


def is_allowed(address: Address) -> bool:
    """True if webhooks may reach this address. An IPv6 address that embeds an IPv4 address counts as the latter."""
    address = _embedded_ipv4(address) or address
    if any(address in network for network in conf.ALLOWED_NETWORKS):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NON_PUBLIC_IPV4)
    return address in PUBLIC_IPV6 and not any(address in network for network in NON_PUBLIC_IPV6)


def are_allowed(addresses: Iterable[Address]) -> bool:
    """True if there are any, and all are allowed. A name that also resolves to an internal address is not public."""
    addresses = list(addresses)
    return bool(addresses) and all(map(is_allowed, addresses))


def parse_address(host: str) -> Address | None:
    """The address, if the host is one in any notation that resolvers accept ("127.1", "0x7f000001"); else None."""
    try:
        return ip_address(host)
    except ValueError:
        pass  # It may be one of the old notations.
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def is_local_name(host: str) -> bool:
    """True if the name is reserved for the loopback interface (RFC 6761)."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address to which packets for this IPv6 address are translated or tunnelled."""
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
