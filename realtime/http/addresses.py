"""The client's address behind trusted proxies, as stream limits and throttles count it."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from realtime.conf import conf

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The name in REALTIME_TRUSTED_PROXIES of all clients of a Unix socket.
UNIX = "unix"

# IPv6 addresses are counted by this prefix: a provider assigns at least a /64 to each customer.
IPV6_PREFIX_BITS = 64

# Only the last entries of X-Forwarded-For are parsed, because a client can make the header long.
MAX_HOPS = 20

# Characters of the longest address, with brackets, a zone and a port.
MAX_ADDRESS_LENGTH = 80


def client_address(peer: str | None, forwarded: str) -> str:
    """The address of a request's client; empty if it cannot be determined.

    ``peer``: the address of the connection's other end, None or empty for a Unix socket. ``forwarded``: the value of
    X-Forwarded-For, which is read from its end: each trusted proxy's entry names the address that connected to it.
    """
    names = conf.TRUSTED_PROXIES
    if not names or not forwarded:
        return peer or ""
    networks, unix = parse_trusted(names)
    if not (_is_in(networks, peer) if peer else unix):
        return peer or ""
    address = peer or ""
    for hop in reversed(forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
        parsed = _parse(hop)
        if parsed is None:
            break
        address = str(parsed)
        if not _is_in(networks, address):
            break
    return address


def of_scope(scope: Any) -> str:
    """The ``counting_key`` of an ASGI request's client."""
    peer = scope.get("client")
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return counting_key(client_address(peer[0] if peer else None, b",".join(forwarded).decode("latin-1")))


def of_meta(meta: dict[str, Any]) -> str:
    """The ``counting_key`` of the client in a Django request's ``META``."""
    return counting_key(client_address(meta.get("REMOTE_ADDR"), meta.get("HTTP_X_FORWARDED_FOR", "")))


def counting_key(address: str) -> str:
    """The key that counts an address: an IPv4 address itself, an IPv6 address's /64, empty for any other text."""
    parsed = _parse(address)
    return _counting_key(parsed) if parsed is not None else ""


@lru_cache(maxsize=4096)
def _counting_key(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), IPV6_PREFIX_BITS), strict=False).network_address)


@lru_cache(maxsize=16)
def parse_trusted(names: tuple[str, ...]) -> tuple[tuple[Network, ...], bool]:
    """The networks among these names, and whether ``UNIX`` is one of them. Raises ValueError for an invalid name."""
    networks = tuple([ip_network(name, strict=False) for name in names if name != UNIX])
    return networks, UNIX in names


def _is_in(networks: tuple[Network, ...], address: str) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parse(text: str) -> Address | None:
    """The address in an entry of X-Forwarded-For, which may have a port; None if there is none."""
    return _parse_cached(text) if len(text) <= MAX_ADDRESS_LENGTH else None


@lru_cache(maxsize=4096)
def _parse_cached(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    # An IPv6 socket also has IPv4 clients.
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
