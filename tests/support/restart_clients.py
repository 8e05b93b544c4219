"""Clients during a restart: streams that connect again as SDKs do, toggles, and requests for identities' flags.

They count failures instead of stopping at the first one.
"""

import http.client
import itertools
import json
import os
import threading
import time
from array import array
from collections import Counter
from types import TracebackType
from typing import Any, Self

from benchmarks.admin import TIMEOUT, Admin
from benchmarks.client_process import ClientProcess
from benchmarks.streams import StreamClients
from benchmarks.wire import Event, ProtocolError, State, Step, StreamReader

NEWEST_SECONDS = 60.0


class TolerantReader(StreamReader):
    """A reader that counts a protocol error and ends the stream, instead of raising."""

    def __init__(self, faults: Counter[str]) -> None:
        super().__init__()
        self._faults = faults

    def read(self, state: State, data: bytes) -> Step:
        try:
            return super().read(state, data)
        except ProtocolError as error:
            self._faults[str(error)[:120]] += 1
            return state._replace(ended=True), ()


class TolerantClientProcess(ClientProcess):
    """Streams that connect again at once after any end."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._faults: Counter[str] = Counter()
        self._reader = TolerantReader(self._faults)
        self._reconnects = array("d")
        self._last_versions: dict[int, int] = {}

    def outcome(self) -> dict[str, Any]:
        """The times of reconnects (``time.perf_counter``), and the number of each failure."""
        return {"reconnects": self._reconnects, "faults": self._faults}

    def _received(self, descriptor: int) -> bytes | None:
        try:
            return super()._received(descriptor)
        except OSError as error:
            self._faults[f"broken: {error}"] += 1
            self._ended(descriptor)
            return None

    def _greeted(self, descriptor: int, event: Event, now: float) -> None:
        last = self._last_versions.get(self._target_indexes[descriptor], 0)
        try:
            if event.version < last:
                raise ProtocolError(f"a stream that begins with version {event.version} after {last}")
            super()._greeted(descriptor, event, now)
        except ProtocolError as error:
            self._faults[str(error)] += 1
            self._versions[descriptor] = event.version

    def _ended(self, descriptor: int) -> None:
        self._reconnects.append(time.perf_counter())
        index = self._target_indexes.pop(descriptor)
        self._last_versions[index] = self._versions.pop(descriptor)
        del self._states[descriptor]
        self._began.pop(descriptor, None)
        os.close(descriptor)
        self._connect(index, self._targets[index])


def all_at(clients: StreamClients, version: int) -> bool:
    """Wait until all streams are open and have this version; False after ``NEWEST_SECONDS``."""
    deadline = time.monotonic() + NEWEST_SECONDS
    while time.monotonic() < deadline:
        answers = clients.ask("newest")
        streams = sum(answer["streams"] for answer in answers)
        if streams == clients.number and all(set(answer["versions"].values()) == {version} for answer in answers):
            return True
        time.sleep(0.2)
    return False


class BackgroundCalls:
    """A thread that makes calls one after the other, at a rate, in this context."""

    def __init__(self, per_second: float) -> None:
        self.calls = 0
        """The number of completed calls, including failed ones."""

        self.failures: Counter[str] = Counter()
        self.is_paused = False
        """Whether new calls are suspended."""

        self._pause = 1 / per_second
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)

    def call(self) -> None:
        """Make one call. OSError, HTTPException and RuntimeError are failures."""
        raise NotImplementedError

    def reconnect(self) -> None:
        """Replace the connection after a failure."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            if self.is_paused:
                continue
            try:
                self.call()
            except (OSError, http.client.HTTPException, RuntimeError) as error:
                # Count the failure first, because other threads read calls minus failures as the successful ones.
                self.failures[f"{type(error).__name__}: {error}"[:200]] += 1
                self.calls += 1
                self.reconnect()
            else:
                self.calls += 1


class PatchingAdmin(Admin):
    """An admin who uses PATCH, which nginx does not retry, unlike PUT."""

    METHOD = "PATCH"


class ToggleCalls(BackgroundCalls):
    """Toggles of one flag."""

    def __init__(self, port: int, token: str, key: str, feature: int, per_second: float) -> None:
        super().__init__(per_second)
        self._admin = PatchingAdmin(port, token, key, feature)

    def call(self) -> None:
        self._admin.toggle()

    def reconnect(self) -> None:
        self._admin.reconnect()


class IdentityCalls(BackgroundCalls):
    """Requests for identities' flags by POST, as SDKs send traits."""

    def __init__(self, port: int, key: str, per_second: float) -> None:
        super().__init__(per_second)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self._headers = {"X-Environment-Key": key, "Content-Type": "application/json"}
        self._numbers = itertools.count()

    def call(self) -> None:
        body = {
            "identifier": f"user-{next(self._numbers) % 10}",
            "traits": [{"trait_key": "plan", "trait_value": "pro"}],
        }
        self._connection.request("POST", "/api/v1/identities/", json.dumps(body), self._headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {content[:100]!r}")

    def reconnect(self) -> None:
        self._connection.close()
