"""Never an event before the state: after each the real API, with its caches as it ships them, shows the change."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import NamedTuple

import pytest

from tests.flagsmith.beside import Beside
from tests.flagsmith.conftest import Plugged
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.monolith import Tasks
from tests.flagsmith.reading import Read
from tests.flagsmith.sequences import PATIENCE, SEQUENCES, Step
from tests.support import sse
from tests.support.api import AdminAPI, Body

# So many for each way of plugging in and of running tasks. FLAGSMITH_CHANGES=2000 is what docs/plugging-in.md tells of.
CHANGES = int(os.environ.get("FLAGSMITH_CHANGES", "42"))

# Flagsmith's header is a float's text.
MICROSECOND = Decimal("0.000002")

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(10_800)]


class Outcome(NamedTuple):
    """What came of one change."""

    kind: str
    events: int
    early: list[Body]
    """What was not as it had to be after each event but the last."""

    old: Body
    """And after the last."""

    behind: list[str]
    """Where the version that is told was below the last event's: in the ``header``, in the ``document``."""


class Lane:
    """A tenant, a stream of its environment, and a sequence of changes."""

    def __init__(self, name: str, plugged: Plugged, token: str) -> None:
        self.name = name
        # A session is one thread's. Its server closes a connection that is idle, maybe as the next call is sent.
        api = AdminAPI(plugged.flagsmith.url, token)
        api.session.headers["Connection"] = "close"
        self.tenant = plugged.flagsmith.tenant(api)
        self.steps: Iterator[Step] = SEQUENCES[name](self.tenant)
        # Made before its first step: what it begins with.
        self.next = next(self.steps)
        self._port = plugged.stream_port
        self.stream = sse.connect(self._port, self.tenant.environment.key)
        self.by_signals = isinstance(plugged, FlagsmithWithApp)
        # With synchronous tasks Flagsmith may post before it commits, several times. So the drop-in says it again.
        self.again = isinstance(plugged, Beside) and plugged.flagsmith.tasks is Tasks.SYNCHRONOUSLY

    def step(self) -> Outcome:
        """Make the next change; on each of its events fetch, until all is as it has to be."""
        step = self.next
        most = step.calls if self.by_signals else step.rows
        before = Decimal(time.time_ns()) / 1_000_000_000
        step.act()
        early: list[Body] = []
        while True:
            # Those of the change before are passed over, and those that are said again, where one suffices.
            known = before - 2 * MICROSECOND if self.again and early else before
            event = self._event_after(known)
            before = event.updated_at
            read = Read.of(self.tenant)
            unlike = read.unlike(step.expected)
            if not unlike or (not self.again and len(early) + 1 == most):
                self.next = next(self.steps)
                told = {"header": read.header, "document": read.version}
                behind = [place for place, version in told.items() if version < before - MICROSECOND]
                return Outcome(step.kind, len(early) + 1, early, unlike, behind)
            early.append(unlike)

    def _event_after(self, known: Decimal) -> sse.Block:
        """The next one; on a new stream where the old one has come of age, as SDKs do."""
        try:
            return self.stream.event_after(known, PATIENCE)
        except EOFError:
            self.stream.close()
            self.stream = sse.connect(self._port, self.tenant.environment.key)
            return self.stream.event_after(known, PATIENCE)


def test_plugged__each_event__api_already_serves_the_change(plugged: Plugged, api: AdminAPI) -> None:
    """All tenants make a change each at the same time, and then Flagsmith's tasks come to an end."""
    token = str(api.session.headers["Authorization"]).removeprefix("Token ")
    with ThreadPoolExecutor(len(SEQUENCES)) as threads:
        lanes = list(threads.map(lambda name: Lane(name, plugged, token), SEQUENCES))
        plugged.flagsmith.settle()
        outcomes: list[Outcome] = []
        while len(outcomes) < CHANGES:
            outcomes += threads.map(Lane.step, lanes)
            if isinstance(plugged, Beside):
                plugged.flagsmith.settle()
    for lane in lanes:
        lane.stream.close()

    told = {
        "changes": len(outcomes),
        "events with a fetch": sum(outcome.events for outcome in outcomes),
        "before another of the same call": Counter(outcome.kind for outcome in outcomes if outcome.early),
        "versions behind": Counter(place for outcome in outcomes for place in outcome.behind),
        "old": Counter(outcome.kind for outcome in outcomes if outcome.old),
    }
    print(plugged.flagsmith.tasks.value, told)
    assert [outcome for outcome in outcomes if outcome.old] == [], told
