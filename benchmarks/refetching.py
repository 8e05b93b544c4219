"""A client process whose streams do what SDKs do: fetch the flags when an event says that they have changed."""

import json
import os
from collections import deque
from typing import Any

from benchmarks.holder import Holder
from benchmarks.wire import Answer, AnswerReader, ProtocolError

REQUEST = (
    "GET /api/v1/flags/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Environment-Key: {key}\r\nAccept: application/json\r\n"
    "Accept-Encoding: gzip, deflate\r\nUser-Agent: herd\r\nConnection: close\r\n\r\n"
)


class RefetchingHolder(Holder):
    """Each stream's client fetches on a new connection; at most so many of them at once as the window has.

    A client is done when its answer tells the event's version or a newer one, and the state that was asked for.
    """

    def __init__(self, *arguments: Any, key: str, port: int, feature: int) -> None:
        super().__init__(*arguments)
        self._key = key
        self._port = port
        self._feature = feature
        self._enabled = False
        self._to_fetch: deque[int] = deque()
        self._fetching: dict[int, tuple[int, bytes]] = {}
        """Descriptor of a fetch to the version that it has to have, and what has come of its answer."""

        self._answers = AnswerReader()
        self._checked: set[bytes] = set()

    def expect(self, after: int, enabled: bool = False) -> dict[str, Any]:
        """As of ``Holder``; a client is done when it has read that the feature is so."""
        self._enabled = enabled
        self._checked.clear()
        return super().expect(after)

    def _updated(self, descriptor: int, version: int, now: float) -> None:
        before, self._versions[descriptor] = self._versions[descriptor], version
        if self._after is None or not before <= self._after < version:
            return
        self._to_fetch.append(version)
        self._fetch()

    def _fetch(self) -> None:
        while self._to_fetch and len(self._fetching) < self._window:
            version = self._to_fetch.popleft()
            descriptor = self.connect(self._port, REQUEST.format(port=self._port, key=self._key).encode())
            del self._began[descriptor]
            self._fetching[descriptor] = version, b""

    def _other(self, descriptor: int, now: float) -> bool:
        fetching = self._fetching.get(descriptor)
        if fetching is None:
            return super()._other(descriptor, now)
        data = self._received(descriptor)
        if data is None:
            return True
        version, came = fetching
        read = self._answers.read(came + data)
        if read is None:
            self._fetching[descriptor] = version, came + data
            return True
        self._check(read[0], version)
        del self._fetching[descriptor]
        os.close(descriptor)
        self.done(now)
        self._fetch()
        return True

    def _check(self, answer: Answer, version: int) -> None:
        if answer.status != 200 or answer.version < version:
            raise ProtocolError(f"{answer.status}, version {answer.version} after an event of {version}")
        if answer.body in self._checked:
            return
        states = {flag["feature"]["id"]: flag["enabled"] for flag in json.loads(answer.body)}
        if states[self._feature] is not self._enabled:
            raise ProtocolError(f"the feature's state is not the event's: {states[self._feature]}")
        self._checked.add(answer.body)
