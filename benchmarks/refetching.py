"""A client process whose clients refetch the flags after an event, as SDKs do."""

import json
import os
from collections import deque
from typing import Any

from benchmarks.client_process import ClientProcess
from benchmarks.wire import Answer, AnswerReader, ProtocolError

REQUEST = (
    "GET /api/v1/flags/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Environment-Key: {key}\r\nAccept: application/json\r\n"
    "Accept-Encoding: gzip, deflate\r\nUser-Agent: benchmark\r\nConnection: close\r\n\r\n"
)


class RefetchingClientProcess(ClientProcess):
    """Each client fetches on a new connection. ``window`` limits the concurrent fetches.

    A client has finished when its response has the event's version or a newer one, and the expected state.
    """

    def __init__(self, *arguments: Any, key: str, port: int, feature: int) -> None:
        super().__init__(*arguments)
        self._key = key
        self._port = port
        self._feature = feature
        self._enabled = False
        self._to_fetch: deque[int] = deque()
        self._fetching: dict[int, tuple[int, bytes]] = {}
        """By file descriptor of a fetch: the required version, and the bytes of the response so far."""

        self._answers = AnswerReader()
        self._checked: set[bytes] = set()

    def expect(self, after: int, enabled: bool = False) -> dict[str, Any]:
        """As in ``ClientProcess``; a client has finished when it has read this state of the feature."""
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

    def _handle_other(self, descriptor: int, now: float) -> bool:
        fetching = self._fetching.get(descriptor)
        if fetching is None:
            return super()._handle_other(descriptor, now)
        data = self._received(descriptor)
        if data is None:
            return True
        version, received = fetching
        read = self._answers.read(received + data)
        if read is None:
            self._fetching[descriptor] = version, received + data
            return True
        self._check(read[0], version)
        del self._fetching[descriptor]
        os.close(descriptor)
        self.done(now)
        self._fetch()
        return True

    def _check(self, answer: Answer, version: int) -> None:
        if answer.status != 200 or answer.version < version:
            raise ProtocolError(f"{answer.status}, version {answer.version} after an event with {version}")
        if answer.body in self._checked:
            return
        states = {flag["feature"]["id"]: flag["enabled"] for flag in json.loads(answer.body)}
        if states[self._feature] is not self._enabled:
            raise ProtocolError(f"the feature's state is not the event's: {states[self._feature]}")
        self._checked.add(answer.body)
