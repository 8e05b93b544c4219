"""Who rides through a restart: streams that come back as SDKs do, an admin who toggles, identities that ask for flags.

They count what goes wrong instead of ending at the first.
"""

import http.client
import itertools
import json
import threading
import time
from array import array
from collections import Counter
from types import TracebackType
from typing import Any, Self

from benchmarks.admin import TIMEOUT, Admin
from benchmarks.soak import FaithfulHolder
from benchmarks.wire import Event, ProtocolError, State, Step, StreamReader


class TolerantReader(StreamReader):
    """What a server must not send ends the stream, and is counted."""

    def __init__(self, faults: Counter[str]) -> None:
        super().__init__()
        self._faults = faults

    def read(self, state: State, data: bytes) -> Step:
        try:
            return super().read(state, data)
        except ProtocolError as error:
            self._faults[str(error)[:120]] += 1
            return state._replace(ended=True), ()


class RidingHolder(FaithfulHolder):
    """Streams that connect again at once, however they end."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._faults: Counter[str] = Counter()
        self._reader = TolerantReader(self._faults)
        self._reconnects = array("d")

    def open(self, seconds: float = 0.0) -> dict[str, Any]:
        """Open all streams, evenly over this time: as in a service that runs, their ages then end evenly too."""
        began, opened = time.perf_counter(), 0
        while opened < len(self._targets) or self._began:
            due = len(self._targets)
            if seconds:
                due = min(due, int((time.perf_counter() - began) / seconds * len(self._targets)) + 1)
            while opened < due and len(self._began) < self._window:
                self._connect(opened, self._targets[opened])
                opened += 1
            if not self.poll(0.01):
                raise SystemExit
        return {"version": max(self._versions.values())}

    def story(self) -> dict[str, Any]:
        """When streams have connected again (``time.perf_counter``), and what went wrong how often."""
        return {"reconnects": self._reconnects, "faults": self._faults}

    def _received(self, descriptor: int) -> bytes | None:
        try:
            return super()._received(descriptor)
        except OSError as error:
            self._faults[f"broken: {error}"] += 1
            self._ended(descriptor)
            return None

    def _greeted(self, descriptor: int, event: Event, now: float) -> None:
        try:
            super()._greeted(descriptor, event, now)
        except ProtocolError as error:
            self._faults[str(error)] += 1
            self._versions[descriptor] = event.version

    def _ended(self, descriptor: int) -> None:
        self._reconnects.append(time.perf_counter())
        super()._ended(descriptor)


class Rider:
    """Makes one call after the other in a thread, so many a second, while it is entered."""

    def __init__(self, per_second: float) -> None:
        self.calls = 0
        """Calls that have ended, whether they failed or not."""

        self.failures: Counter[str] = Counter()
        self.resting = False
        """Whether it makes no new call for the present."""

        self._pause = 1 / per_second
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)

    def call(self) -> None:
        """One call. OSError, HTTPException and RuntimeError are failures."""
        raise NotImplementedError

    def reconnect(self) -> None:
        """After a failure."""
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
            if self.resting:
                continue
            try:
                self.call()
            except (OSError, http.client.HTTPException, RuntimeError) as error:
                # The failure first: other threads take calls without failures for those that succeeded.
                self.failures[f"{type(error).__name__}: {error}"[:200]] += 1
                self.calls += 1
                self.reconnect()
            else:
                self.calls += 1


class PatchingAdmin(Admin):
    """By PATCH, which nginx does not send a second time as it does a PUT."""

    METHOD = "PATCH"


class Toggles(Rider):
    """An admin at work."""

    def __init__(self, port: int, token: str, key: str, feature: int, per_second: float) -> None:
        super().__init__(per_second)
        self._admin = PatchingAdmin(port, token, key, feature)

    def call(self) -> None:
        self._admin.toggle()

    def reconnect(self) -> None:
        self._admin.reconnect()


class Identities(Rider):
    """An SDK that asks for one identity's flags after the other: by POST, as all do that send traits."""

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
