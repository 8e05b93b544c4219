"""HTTP connections restricted to the addresses that ``webhooks.addresses`` allows (SSRF protection).

The host is resolved once, and the connection goes to an address that was checked: a name that resolves to another
address the next time (DNS rebinding) does not bypass the check. TLS still verifies the certificate against the name.
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

MAX_ADDRESSES = 4
"""The number of a host's addresses that are tried, one after the other."""

# A separate pool: ``getaddrinfo`` cannot be cancelled, and would block the event loop's default pool.
_resolvers = ThreadPoolExecutor(max_workers=16, thread_name_prefix="webhook-resolver")


class AddressDenied(Exception):
    """The host resolves to an address that webhooks may not reach."""


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """httpcore's network backend with a check of the address. It uses no proxy."""

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
        found = await _resolve(host, port)
        if not addresses.are_allowed(found):
            raise AddressDenied
        for address in found[:MAX_ADDRESSES]:
            try:
                seconds = timeout / min(len(found), MAX_ADDRESSES) if timeout is not None else None
                return await self._network.connect_tcp(str(address), port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


async def _resolve(host: str, port: int) -> list[Address]:
    """The host's addresses without duplicates, in the resolver's order."""
    loop = asyncio.get_running_loop()
    rows = await loop.run_in_executor(
        _resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    )
    return list(dict.fromkeys(ip_address(str(row[4][0])) for row in rows))
