"""The deferred response to a request that has come by ASGI."""

import asyncio

from realtime.answers import Response


class ASGIResponse:
    """A ``Deferrable`` and its ``DeferredResponse``, for servers and requests without shortcuts."""

    def __init__(self) -> None:
        self.response: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        """None: the application has to respond."""

    def defer(self) -> "ASGIResponse":
        return self

    def reply(self, head: bytes, body: bytes) -> None:
        self._finish(Response(head, body))

    def fall_back(self) -> None:
        self._finish(None)

    def _finish(self, response: Response | None) -> None:
        # It is cancelled if the client has disconnected.
        if not self.response.done():
            self.response.set_result(response)
