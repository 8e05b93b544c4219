"""Which addresses webhooks may reach: public ones, and those of networks that the operator has allowed.

Whoever may make a webhook makes this server connect to a place of their choice. That must not be a neighbour of the
server that trusts it, nor a cloud's metadata service.
"""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from webhooks.conf import conf

Address = IPv4Address | IPv6Address

# Not Python's ``is_global``: what that says has changed within the releases of Python that this runs on.
NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this" host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's address translation; some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host, as its machines see it
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

# All that is assigned for the public; loopback, link-local, unique local, multicast and the like are outside of it.
PUBLIC_6 = IPv6Network("2000::/3")
NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo, which carries an IPv4 address of the sender's choice
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)

NAT64 = IPv6Network("64:ff9b::/96")


def is_allowed(address: Address) -> bool:
    """Whether webhooks may reach this address. One that carries an IPv4 address counts as that."""
    address = _carried(address) or address
    if any(address in network for network in conf.ALLOWED_NETWORKS):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC)
    return address in PUBLIC_6 and not any(address in network for network in NOT_PUBLIC_6)


def are_allowed(addresses: Iterable[Address]) -> bool:
    """Whether there are any, and all of them are allowed. A name that also leads inside is not a public one."""
    addresses = list(addresses)
    return bool(addresses) and all(map(is_allowed, addresses))


def literal(host: str) -> Address | None:
    """The address that a host is written as, in any form that resolvers take ("127.1", "0x7f000001"); else None."""
    try:
        return ip_address(host)
    except ValueError:
        pass  # It may still be one of the old forms.
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def is_local_name(host: str) -> bool:
    """Whether this name means this very machine, by convention."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _carried(address: Address) -> IPv4Address | None:
    """The IPv4 address that packets to this IPv6 address end at."""
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
