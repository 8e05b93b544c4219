"""Sends one HTTP request to a webhook and returns its outcome."""

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import httpcore

from webhooks.conf import conf
from webhooks.network import AddressDenied, CheckedNetwork
from webhooks.targets import BadTarget, Target, parse_target

SIGNATURE = "X-Flagsmith-Signature"

MAX_BYTES_READ = 65_536
"""Of a response's body. The body is not used; it is read so that receivers can complete their response."""


class Outcome(NamedTuple):
    status: int | None = None
    error: str = ""
    """The failure before a complete response, for users."""
    permanent: bool = False
    """True if another attempt would fail too."""

    @property
    def delivered(self) -> bool:
        """True for a status of 2xx. A redirect is not followed, so it is a failure."""
        return self.status is not None and 200 <= self.status < 300


def signature(body: str, secret: str) -> str:
    """The signature header's value: HMAC-SHA256 of the body with the webhook's secret, in hexadecimal."""
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


async def send(url: str, body: str, secret: str, headers: Mapping[str, str] | None = None) -> Outcome:
    """POST the body to the URL. Returns within ``WEBHOOKS_TIMEOUT_SECONDS``, however slow the receiver is."""
    try:
        async with asyncio.timeout(conf.TIMEOUT_SECONDS):
            return Outcome(await _post(parse_target(url), body, secret, headers or {}))
    except TimeoutError:
        return Outcome(error="It took too long.")
    except BadTarget as error:
        return Outcome(error=str(error), permanent=True)
    except AddressDenied:
        return Outcome(error="The URL leads to an address that is not public.", permanent=True)
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
        return Outcome(error=f"There was no answer: {type(error).__name__}.")


async def _post(target: Target, body: str, secret: str, headers: Mapping[str, str]) -> int:
    url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    connection = httpcore.AsyncHTTPConnection(
        url.origin,
        ssl_context=_ssl_context(conf.CA_FILE) if target.scheme == "https" else None,
        network_backend=CheckedNetwork(),
    )
    content = body.encode()
    sent_headers = {
        "Host": target.host_header,
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",
        "User-Agent": "flagsmith-realtime-webhooks",
        **headers,
    }
    if target.authorization is not None:
        sent_headers["Authorization"] = target.authorization
    if secret:
        sent_headers[SIGNATURE] = signature(body, secret)
    timeouts = {"connect": conf.TIMEOUT_SECONDS}
    request = connection.stream(
        "POST", url, headers=[*sent_headers.items()], content=content, extensions={"timeout": timeouts}
    )
    async with connection, request as response:
        bytes_read = 0
        async for chunk in response.aiter_stream():
            bytes_read += len(chunk)
            if bytes_read >= MAX_BYTES_READ:
                break
        return response.status


@lru_cache(maxsize=4)
def _ssl_context(ca_file: str) -> ssl.SSLContext:
    """A context that trusts the authorities of the system, of certifi and of the file. Cached: it takes milliseconds
    to create."""
    context = httpcore.default_ssl_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
