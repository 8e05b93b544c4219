"""Client of the upstream: fetches environment documents, and sends usage and traits.

The proxy of ``HTTPS_PROXY`` and the certificate authorities of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` are used.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import NamedTuple

import httpx

from realtime.http.responses import KEY_HEADER
from realtime.relay import relay_metrics
from realtime.relay.configuration import Configuration
from realtime.types import UpdatedAt

# Neither a browser's nor that of an SDK whose streams are short.
USER_AGENT = "flagsmith-realtime-relay"

# Requests at the same time.
MAX_CONNECTIONS = 20

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024

# A stream sends a comment at least every 15 s.
STREAM_SILENCE_SECONDS = 60.0

UNAUTHORIZED = (401, 403)
NOT_MODIFIED = 304
TOO_MANY_REQUESTS = 429


class UpstreamError(Exception):
    """The upstream has not answered with a document. ``result`` is the label of the metric."""

    def __init__(self, result: str, reason: str, *, status: int | None = None, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.result = result
        self.status = status
        self.retry_after = retry_after


class Fetched(NamedTuple):
    """An answer of ``environment-document/``. None: not modified."""

    body: bytes | None


class Upstream:
    """The Flagsmith, or the other relay, that this relay is in front of."""

    def __init__(self, configuration: Configuration) -> None:
        self.url = configuration.api_url
        self.streams_url = configuration.upstream_realtime_url
        timeout = httpx.Timeout(configuration.api_poll_timeout_seconds)
        self._client = httpx.AsyncClient(
            timeout=timeout,
            follow_redirects=True,
            headers={"User-Agent": USER_AGENT},
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        )
        self._streams = httpx.AsyncClient(
            timeout=httpx.Timeout(configuration.api_poll_timeout_seconds, read=STREAM_SILENCE_SECONDS, pool=None),
            follow_redirects=True,
            headers={"User-Agent": USER_AGENT, "Accept": "text/event-stream"},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def document(self, server_key: str, newer_than: UpdatedAt | None) -> Fetched:
        """Fetch an environment document. With ``newer_than`` the upstream may answer that it is not modified."""
        headers = {KEY_HEADER: server_key}
        if newer_than is not None:
            headers["If-Modified-Since"] = formatdate(int(newer_than.timestamp()), usegmt=True)
        began = time.monotonic()
        try:
            async with self._client.stream("GET", f"{self.url}/environment-document/", headers=headers) as response:
                if response.status_code != httpx.codes.OK:
                    return self._other_answer(response, newer_than)
                parts, length = [], 0
                async for part in response.aiter_bytes():
                    parts.append(part)
                    length += len(part)
                    if length > MAX_DOCUMENT_BYTES:
                        raise UpstreamError("invalid", f"the document has more than {MAX_DOCUMENT_BYTES} bytes")
                return Fetched(b"".join(parts))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError("unreachable", describe(error)) from error
        finally:
            relay_metrics.fetch_seconds.add(time.monotonic() - began, 1)

    def _other_answer(self, response: httpx.Response, newer_than: UpdatedAt | None) -> Fetched:
        status = response.status_code
        if status == NOT_MODIFIED and newer_than is not None:
            return Fetched(None)
        if status in UNAUTHORIZED:
            reason = f"the upstream answers {status}: the server-side key is not valid there"
            raise UpstreamError("unauthorized", reason, status=status)
        raise UpstreamError(
            "failed", f"the upstream answers {status}", status=status, retry_after=_retry_after(response)
        )

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send usage or traits. Returns the status. Raises UpstreamError if there is no answer."""
        try:
            response = await self._client.request(method, url, headers=dict(headers), content=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError("unreachable", describe(error)) from error
        return response.status_code

    @asynccontextmanager
    async def stream(self, client_key: str) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of the upstream's event stream of this environment. Raises UpstreamError."""
        url = f"{self.streams_url}/sse/environments/{client_key}/stream"
        try:
            async with self._streams.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise UpstreamError("failed", f"the upstream's stream answers {response.status_code}")
                yield response.aiter_lines()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError("unreachable", describe(error)) from error

    async def close(self) -> None:
        await self._client.aclose()
        await self._streams.aclose()


def is_temporary(status: int) -> bool:
    """Return whether the same request may succeed later."""
    return status >= 500 or status == TOO_MANY_REQUESTS


def describe(error: Exception) -> str:
    """The error's class and message; some of httpx's have no message."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(60.0, float(text)) if text.isdecimal() else 0.0
