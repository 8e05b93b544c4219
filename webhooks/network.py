"""Connections to nobody but those whom ``webhooks.addresses`` allows.

The host is looked up here, once, and the connection goes to an address that was checked: a name that leads somewhere
else when it is asked again (DNS rebinding) gains nothing. TLS still verifies the certificate against the name.
"""

import asyncio
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import httpcore

from webhooks import addresses
from webhooks.addresses import Address

MOST_ADDRESSES = 4
"""So many of a host's addresses are tried, one after the other."""

# Its own threads: a look-up cannot be called off, and whoever gave it up need not wait for it.
_resolvers = ThreadPoolExecutor(max_workers=16, thread_name_prefix="webhook-resolver")


class AddressRefused(Exception):
    """The host leads somewhere where webhooks may not go."""


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """httpcore's network, behind the check. It knows no proxy."""

    def __init__(self) -> None:
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await _look_up(host, port)
        if not addresses.are_allowed(found):
            raise AddressRefused
        for address in found[:MOST_ADDRESSES]:
            try:
                share = timeout / min(len(found), MOST_ADDRESSES) if timeout is not None else None
                return await self._network.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


async def _look_up(host: str, port: int) -> list[Address]:
    """The host's addresses, each once, in the resolver's order."""
    loop = asyncio.get_running_loop()
    rows = await loop.run_in_executor(
        _resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    )
    return list(dict.fromkeys(ip_address(str(row[4][0])) for row in rows))
