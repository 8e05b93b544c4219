"""Who calls: a client's address behind trusted proxies. One rule, for streams and for all else that counts by it."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from realtime.conf import conf

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# In REALTIME_TRUSTED_PROXIES: whoever connects by a Unix socket.
UNIX = "unix"

# One customer of a provider has at least so many addresses of version 6: they count as one.
NETWORK_BITS = 64

# Of a header that anybody can make long, so many of the last entries are looked at.
MAX_HOPS = 20

# The longest text that can be an address, with brackets, a zone and a port.
MAX_LENGTH = 80


def client(peer: str | None, forwarded: str) -> str:
    """The address that a request comes from; the empty text if that cannot be known.

    ``peer``: who has connected, None or empty for a Unix socket. ``forwarded``: all of X-Forwarded-For. While the one
    who speaks is trusted, the last entry that is left says whom it speaks for.
    """
    names = conf.TRUSTED_PROXIES
    if not names or not forwarded:
        return peer or ""
    networks, unix = trusted(names)
    if not (_is_among(networks, peer) if peer else unix):
        return peer or ""
    address = peer or ""
    for hop in reversed(forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
        parsed = _parsed(hop)
        if parsed is None:
            break
        address = str(parsed)
        if not _is_among(networks, address):
            break
    return address


def of_scope(scope: Any) -> str:
    """The client's address of an ASGI request, as ``counted``."""
    peer = scope.get("client")
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return counted(client(peer[0] if peer else None, b",".join(forwarded).decode("latin-1")))


def of_meta(meta: dict[str, Any]) -> str:
    """The client's address of a Django request's ``META``, as ``counted``."""
    return counted(client(meta.get("REMOTE_ADDR"), meta.get("HTTP_X_FORWARDED_FOR", "")))


def counted(address: str) -> str:
    """Under what an address is counted: itself, or of version 6 its network of 64 bits. All that is none is one."""
    parsed = _parsed(address)
    return _counted(parsed) if parsed is not None else ""


@lru_cache(maxsize=4096)
def _counted(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), NETWORK_BITS), strict=False).network_address)


@lru_cache(maxsize=16)
def trusted(names: tuple[str, ...]) -> tuple[tuple[Network, ...], bool]:
    """The networks among these names, and whether Unix sockets are. Raises ValueError for what is neither."""
    networks = tuple([ip_network(name, strict=False) for name in names if name != UNIX])
    return networks, UNIX in names


def _is_among(networks: tuple[Network, ...], address: str) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(text: str) -> Address | None:
    """The address in an entry of X-Forwarded-For, which may have a port."""
    return _known(text) if len(text) <= MAX_LENGTH else None


@lru_cache(maxsize=4096)
def _known(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    # A socket of version 6 has clients of version 4, too.
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
