"""Client of the upstream: fetches environment documents, and sends usage and traits.

The proxy of ``HTTPS_PROXY`` and the certificate authorities of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` are used.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from email.utils import formatdate
from typing import NamedTuple

import httpx
import structlog

from realtime.answers import KEY_HEADER
from realtime.relay import relay_metrics
from realtime.relay.configuration import Configuration
from realtime.relay.failover import Failover
from realtime.types import EPOCH, UpdatedAt

logger = structlog.get_logger(__name__)

# Neither a browser's nor that of an SDK whose streams are short.
USER_AGENT = "flagsmith-realtime-relay"

# Connections that wait for the next request. ``environments.py`` and the forwarders limit the requests under way.
MAX_IDLE_CONNECTIONS = 20

# For a whole document. The timeout of the configuration counts from one part of it to the next.
MAX_FETCH_SECONDS = 60.0

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024

# A stream sends a comment at least every 15 s.
STREAM_SILENCE_SECONDS = 60.0

STREAM_HEADERS = {"Accept": "text/event-stream"}

UNAUTHORIZED = (401, 403)
NOT_MODIFIED = 304
BAD_REQUEST = 400
TOO_MANY_REQUESTS = 429

RawHeaders = tuple[tuple[bytes, bytes], ...]
"""Headers as they came: a client may send any bytes in them."""


class UpstreamError(Exception):
    """The upstream has not answered with a newer document of the environment. The held one is kept."""

    def __init__(
        self,
        result: str,
        reason: str,
        *,
        status: int | None = None,
        retry_after: float = 0.0,
        version: UpdatedAt = EPOCH,
    ) -> None:
        super().__init__(reason)
        self.result = result
        """The label of ``relay_metrics.fetches``."""

        self.status = status
        self.retry_after = retry_after
        self.version = version
        """Of an older document."""

    @property
    def summary(self) -> str:
        """The error without details, for health."""
        return self.result if self.status is None else f"{self.result}: the upstream answers {self.status}"


class Fetched(NamedTuple):
    """An answer of ``environment-document/``."""

    body: bytes | None
    """None: not modified."""

    url: str
    """The base URL that has answered."""


class Upstream:
    """The Flagsmith, or the other relay, that this relay is in front of."""

    def __init__(self, configuration: Configuration) -> None:
        self.apis = Failover(configuration.api_urls)
        self._realtime = Failover(configuration.upstream_realtime_urls)
        seconds = configuration.api_poll_timeout_seconds
        self._client = _client(httpx.Timeout(seconds))
        # Of its own: httpcore compares the number of all connections, also of those in use, with that of idle ones that
        # it keeps, and goes through all of them for each request.
        self._stream_client = _client(httpx.Timeout(seconds, read=STREAM_SILENCE_SECONDS))

    async def document(self, server_key: str, newer_than: UpdatedAt | None) -> Fetched:
        """Fetch an environment document, of the next URL if one fails.

        With ``newer_than`` the upstream may answer that it is not modified.
        """
        headers = {KEY_HEADER: server_key}
        if newer_than is not None:
            headers["If-Modified-Since"] = formatdate(int(newer_than.timestamp()), usegmt=True)
        for _ in self.apis.urls[1:]:
            try:
                return await self._document(headers)
            except UpstreamError as error:
                if error.result == "unauthorized":
                    raise
        return await self._document(headers)

    async def _document(self, headers: Mapping[str, str]) -> Fetched:
        began = time.monotonic()
        try:
            with _attempt(self.apis) as url:
                async with (
                    asyncio.timeout(MAX_FETCH_SECONDS),
                    self._client.stream("GET", f"{url}/environment-document/", headers=dict(headers)) as response,
                ):
                    is_not_modified = response.status_code == NOT_MODIFIED and "If-Modified-Since" in headers
                    body = None if is_not_modified else await _read(response)
            self.apis.succeeded(url)
            return Fetched(body, url)
        finally:
            relay_metrics.fetch_seconds.add(time.monotonic() - began, 1)

    async def send(
        self, method: str, path: str, key: str, body: bytes, headers: RawHeaders = (), version: int = 1
    ) -> int:
        """Send usage or traits as JSON. Returns the status, 400 for what is no valid request. Raises UpstreamError if
        the same request may succeed later.

        It is not repeated: the caller does that, and then the next URL is used.
        """
        with _attempt(self.apis) as url:
            base = url if version == 1 else f"{url.removesuffix('/v1')}/v{version}"
            own = ((KEY_HEADER.encode(), key.encode("latin-1")), (b"Content-Type", b"application/json"))
            try:
                response = await self._client.request(method, f"{base}/{path}", headers=[*headers, *own], content=body)
            except httpx.LocalProtocolError as error:
                # The upstream has not seen it, and would not accept it either.
                logger.warning("upstream_request_invalid", error=describe(error))
                return BAD_REQUEST
            if response.status_code >= 500 or response.status_code == TOO_MANY_REQUESTS:
                raise _error(response)
        return response.status_code

    @asynccontextmanager
    async def stream(self, client_key: str) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of the upstream's event stream of this environment. Raises UpstreamError."""
        with _attempt(self._realtime) as url:
            async with self._stream_client.stream(
                "GET", f"{url}/sse/environments/{client_key}/stream", headers=STREAM_HEADERS
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise UpstreamError("failed", f"the upstream's stream answers {response.status_code}")
                self._realtime.succeeded(url)
                yield response.aiter_lines()

    async def close(self) -> None:
        await self._client.aclose()
        await self._stream_client.aclose()


def _client(timeout: httpx.Timeout) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=timeout,
        follow_redirects=True,
        headers={"User-Agent": USER_AGENT},
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=MAX_IDLE_CONNECTIONS),
    )


@contextmanager
def _attempt(urls: Failover) -> Iterator[str]:
    """The URL for a request. Another one is used next if the request fails, unless the key is rejected.

    All errors become an UpstreamError.
    """
    url = urls.current()
    try:
        try:
            yield url
        except TimeoutError as error:
            raise UpstreamError("unreachable", f"the document takes more than {MAX_FETCH_SECONDS:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError("unreachable", describe(error)) from error
    except UpstreamError as error:
        if error.result != "unauthorized":
            urls.failed(url)
        raise


async def _read(response: httpx.Response) -> bytes:
    """The body of a document's response. Raises UpstreamError."""
    if response.status_code != httpx.codes.OK:
        raise _error(response)
    parts, length = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        length += len(part)
        if length > MAX_DOCUMENT_BYTES:
            raise UpstreamError("invalid", f"the document has more than {MAX_DOCUMENT_BYTES} bytes")
    return b"".join(parts)


def _error(response: httpx.Response) -> UpstreamError:
    status = response.status_code
    if status in UNAUTHORIZED:
        reason = f"the upstream answers {status}: the server-side key is not valid there"
        return UpstreamError("unauthorized", reason, status=status)
    return UpstreamError("failed", f"the upstream answers {status}", status=status, retry_after=_retry_after(response))


def describe(error: Exception) -> str:
    """The error's class and message; some of httpx's have no message."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(60.0, float(text)) if text.isdecimal() else 0.0
