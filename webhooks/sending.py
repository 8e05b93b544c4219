"""One HTTP request to a webhook, and what came of it."""

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import httpcore

from webhooks.conf import conf
from webhooks.network import AddressRefused, CheckedNetwork
from webhooks.targets import BadTarget, Target, target

SIGNATURE = "X-Flagsmith-Signature"

MOST_BYTES_READ = 65_536
"""Of an answer's body. Nobody looks at it; reading a little lets a receiver finish its answer in peace."""


class Outcome(NamedTuple):
    status: int | None = None
    error: str = ""
    """What went wrong before there was a whole answer."""
    hopeless: bool = False
    """Whether trying again would be in vain."""

    @property
    def delivered(self) -> bool:
        """A redirect is not followed, so it delivers nothing."""
        return self.status is not None and 200 <= self.status < 300


def signature(body: str, secret: str) -> str:
    """What a receiver compares: HMAC-SHA256 of the body with the webhook's secret, in hexadecimal."""
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


async def send(url: str, body: str, secret: str, headers: Mapping[str, str] | None = None) -> Outcome:
    """POST the body to the URL. However slow the other side is, there is an outcome in ``WEBHOOKS_TIMEOUT_SECONDS``."""
    try:
        async with asyncio.timeout(conf.TIMEOUT_SECONDS):
            return Outcome(await _post(target(url), body, secret, headers or {}))
    except TimeoutError:
        return Outcome(error="It took too long.")
    except BadTarget as bad:
        return Outcome(error=str(bad), hopeless=True)
    except AddressRefused:
        return Outcome(error="The URL leads to an address that is not public.", hopeless=True)
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
        return Outcome(error=f"There was no answer: {type(error).__name__}.")


async def _post(to: Target, body: str, secret: str, headers: Mapping[str, str]) -> int:
    url = httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.path)
    connection = httpcore.AsyncHTTPConnection(
        url.origin,
        ssl_context=_tls(conf.CA_FILE) if to.scheme == "https" else None,
        network_backend=CheckedNetwork(),
    )
    content = body.encode()
    sent = {
        "Host": to.host_header,
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",
        "User-Agent": "flagsmith-realtime-webhooks",
        **headers,
    }
    if to.authorization is not None:
        sent["Authorization"] = to.authorization
    if secret:
        sent[SIGNATURE] = signature(body, secret)
    timeouts = {"connect": conf.TIMEOUT_SECONDS}
    async with connection:
        answer = connection.stream(
            "POST", url, headers=[*sent.items()], content=content, extensions={"timeout": timeouts}
        )
        async with answer as response:
            read = 0
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read >= MOST_BYTES_READ:
                    break
            return response.status


@lru_cache(maxsize=4)
def _tls(ca_file: str) -> ssl.SSLContext:
    """Verifies certificates against the system's authorities, certifi's, and the file's. Takes milliseconds to make."""
    context = httpcore.default_ssl_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
