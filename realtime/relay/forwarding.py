"""Sends what SDKs have posted to the upstream, and counts and logs what the upstream does not get."""

import structlog

from realtime.failure_log import FailureLog
from realtime.relay import relay_metrics
from realtime.relay.upstream import RawHeaders, Upstream, UpstreamError

logger = structlog.get_logger(__name__)

# For what is left at the end of the process.
CLOSE_SECONDS = 2.0


class Forwarder:
    """Base of the queues of one kind of requests, a label of ``relay_metrics.dropped``."""

    def __init__(self, upstream: Upstream, kind: str) -> None:
        self._upstream = upstream
        self._kind = kind
        self._dropped = relay_metrics.dropped[kind]
        self._failures = FailureLog(logger, f"{kind}_not_sent")
        self._bugs = FailureLog(logger, f"{kind}_not_sent", has_stack=True)
        self._full = FailureLog(logger, f"{kind}_dropped")
        """It succeeds when a subclass has emptied the queue."""

    async def _send(
        self, method: str, path: str, key: str, body: bytes, headers: RawHeaders = (), version: int = 1
    ) -> Exception | None:
        """Send a request. Returns the error if it was not sent: an UpstreamError if the upstream is away or busy."""
        try:
            status = await self._upstream.send(method, path, key, body, headers, version)
        except UpstreamError as error:
            self._failures.failed(error)
            return error
        except Exception as error:
            self._bugs.failed(error)
            return error
        if status >= 400:
            # The upstream would not accept it later either.
            self._dropped.add()
            logger.warning(f"{self._kind}_rejected", status=status, path=path)
        return None

    def _succeeded(self) -> None:
        """The upstream has received everything: the next failure is logged."""
        self._failures.succeeded()
        self._bugs.succeeded()

    def _drop(self, number: int, reason: str) -> None:
        """Count what a full queue does not keep."""
        self._dropped.add(number)
        self._full.failed(reason=reason)
