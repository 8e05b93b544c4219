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

# The number for each kind of streams and each task mode. docs/plugging-in.md reports FLAGSMITH_CHANGES=2000.
CHANGES = int(os.environ.get("FLAGSMITH_CHANGES", "42"))

# Flagsmith's header is a float's text.
MICROSECOND = Decimal("0.000002")

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(10_800)]


class Outcome(NamedTuple):
    """The effects of one change."""

    kind: str
    events: int
    early: list[Body]
    """The differences from the expected content after each event but the last."""

    old: Body
    """The differences after the last event."""

    behind: list[str]
    """The places with a version below that of the last event: ``header``, ``document``."""


class Lane:
    """A tenant, a stream of its environment, and a sequence of changes."""

    def __init__(self, name: str, plugged: Plugged, token: str) -> None:
        self.name = name
        # A session belongs to one thread. The server closes idle connections, perhaps while the next call is sent.
        api = AdminAPI(plugged.flagsmith.url, token)
        api.session.headers["Connection"] = "close"
        self.tenant = plugged.flagsmith.tenant(api)
        self.steps: Iterator[Step] = SEQUENCES[name](self.tenant)
        # This creates the objects that the sequence begins with.
        self.next = next(self.steps)
        self._port = plugged.stream_port
        self.stream = sse.connect(self._port, self.tenant.environment.key)
        self.by_signals = isinstance(plugged, FlagsmithWithApp)
        # With synchronous tasks Flagsmith may post several times before it commits, so the drop-in repeats events.
        self.repeats = isinstance(plugged, Beside) and plugged.flagsmith.tasks is Tasks.SYNCHRONOUSLY

    def step(self) -> Outcome:
        """Make the next change, and read the content after each of its events, until it is as expected."""
        step = self.next
        most = step.calls if self.by_signals else step.rows
        before = Decimal(time.time_ns()) / 1_000_000_000
        step.act()
        early: list[Body] = []
        while True:
            # Skip events of the change before, and repeated ones.
            known = before - 2 * MICROSECOND if self.repeats and early else before
            event = self._event_after(known)
            before = event.updated_at
            read = Read.of(self.tenant)
            unlike = read.unlike(step.expected)
            if not unlike or (not self.repeats and len(early) + 1 == most):
                self.next = next(self.steps)
                versions = {"header": read.header, "document": read.version}
                behind = [place for place, version in versions.items() if version < before - MICROSECOND]
                return Outcome(step.kind, len(early) + 1, early, unlike, behind)
            early.append(unlike)

    def _event_after(self, known: Decimal) -> sse.Block:
        """The next event, on a new stream if the old one has ended."""
        try:
            return self.stream.event_after(known, PATIENCE)
        except EOFError:
            self.stream.close()
            self.stream = sse.connect(self._port, self.tenant.environment.key)
            return self.stream.event_after(known, PATIENCE)


def outcomes_of(plugged: Plugged, api: AdminAPI) -> list[Outcome]:
    """All tenants make a change at the same time, and then wait for Flagsmith's tasks, until ``CHANGES`` are made."""
    token = str(api.session.headers["Authorization"]).removeprefix("Token ")
    with ThreadPoolExecutor(len(SEQUENCES)) as threads:
        lanes = list(threads.map(lambda name: Lane(name, plugged, token), SEQUENCES))
        plugged.flagsmith.settle()
        plugged.flagsmith.analyze()
        outcomes: list[Outcome] = []
        while len(outcomes) < CHANGES:
            outcomes += threads.map(Lane.step, lanes)
            if isinstance(plugged, Beside):
                plugged.flagsmith.settle()
    for lane in lanes:
        lane.stream.close()
    summary = {
        "changes": len(outcomes),
        "events with a fetch": sum(outcome.events for outcome in outcomes),
        "before another of the same call": Counter(outcome.kind for outcome in outcomes if outcome.early),
        "versions behind": Counter(place for outcome in outcomes for place in outcome.behind),
        "old": Counter(outcome.kind for outcome in outcomes if outcome.old),
    }
    print(plugged.flagsmith.tasks.value, summary)
    return outcomes


def test_plugged__each_event__api_already_serves_the_change(plugged: Plugged, api: AdminAPI) -> None:
    outcomes = outcomes_of(plugged, api)

    assert [outcome for outcome in outcomes if outcome.old] == []
    if isinstance(plugged, FlagsmithWithApp):
        # It compares the versions of cached environments.
        assert [outcome for outcome in outcomes if outcome.behind] == []
