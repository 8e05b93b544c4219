"""A subscriber of one environment, which fetches flags after each event, as an SDK does."""

import threading
from dataclasses import dataclass, field
from decimal import Decimal

from tests.support import sse
from tests.support.api import EnvironmentOfTenant, Tenant


@dataclass
class Watcher:
    """Reads streams, each of which is opened when the one before has ended, until it has read the last version."""

    tenant: Tenant
    environment: EnvironmentOfTenant
    versions: list[Decimal] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _last: Decimal | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self) -> None:
        port = int(self.tenant.api.url.rpartition(":")[2])
        while not self._is_done():
            with sse.connect(port, self.environment.key) as stream:
                if stream.status != 200:
                    self.problems.append(f"the stream has status {stream.status}")
                self._read(stream)

    def finish_at(self, version: Decimal) -> None:
        """This is the last version."""
        with self._changed:
            self._last = version

    def _is_done(self) -> bool:
        with self._changed:
            return self._last is not None and bool(self.versions) and self.versions[-1] >= self._last

    def _read(self, stream: sse.Stream) -> None:
        while not self._is_done():
            try:
                block = stream.next_block()
            except TimeoutError:
                self.problems.append("no event and no comment for a minute")
                return
            if block is None:
                if stream.ended is not sse.End.CLEAN:
                    self.problems.append(f"the stream ended {stream.ended}")
                return
            if block.is_event:
                self._take(block.updated_at)

    def _take(self, version: Decimal) -> None:
        if self.versions and version < self.versions[-1]:
            self.problems.append(f"{version} came after {self.versions[-1]}")
        # A new stream begins with the newest version, which an older stream may have sent.
        if not self.versions or version > self.versions[-1]:
            self.versions.append(version)
        served = self.tenant.version(self.environment)
        if served < version:
            self.problems.append(f"{version} was announced, {served} was served")
