"""Promises I1 to I3 and I8 for any order: sessions that interleave, with savepoints, rollbacks and failing requests,
against a simple model.

``ORDER_EXAMPLES`` is the number of orders that are tried; 500 make the long version.
"""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment
from evaluation.cache import Entry, documents
from evaluation.document import Version, build, read_head
from features.defaults import create_default_states
from features.models import Feature, FeatureState
from projects.models import Project
from realtime.bus import eventstream
from realtime.types import epoch_seconds
from segments.models import Segment
from tests.races.operations import OPERATIONS, Site, SiteOperation
from tests.races.sessions import Session
from tests.support.api import VERSION_HEADER
from tests.support.heard import Heard, listening

# On SQLite one session is alone: fewer orders show all that there is.
EXAMPLES = int(os.environ.get("ORDER_EXAMPLES") or (10 if connection.vendor == "postgresql" else 5))

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.timeout(300 + EXAMPLES * 10),
]

OPERATE, ENTER, ENTER_BY_HAND, KEEP, UNDO = "operate", "enter", "enter by hand", "keep", "undo"
ACTIONS = (
    *[(OPERATE,)] * 4,
    *[(ENTER,)] * 2,
    *[(KEEP,)] * 3,
    (UNDO,),
    (ENTER_BY_HAND,),
    # What would seldom come about by chance: all of a savepoint.
    *((ENTER, enter, OPERATE, leave) for enter in (ENTER, ENTER_BY_HAND) for leave in (KEEP, UNDO)),
    (ENTER, ENTER_BY_HAND, OPERATE, UNDO, KEEP),
)
"""What a session does next: operations, begin a transaction or a savepoint, end the innermost of those."""

DEPTH = 3

places = st.integers(0, 2)
operations = st.sampled_from(OPERATIONS)


def fetch(environment: Environment) -> tuple[Decimal, dict[str, Any]]:
    """What ``flags/`` says: its header, and the flags by name."""
    answer = APIClient().get("/api/v1/flags/", headers={"X-Environment-Key": environment.api_key})
    assert answer.status_code == 200, answer.content
    flags = {flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"]) for flag in answer.json()}
    return Decimal(answer.headers[VERSION_HEADER]), flags


def stored(environment: Environment) -> dict[str, Any]:
    """What the database holds of that."""
    own = environment.hide_disabled_flags
    hides = environment.project.hide_disabled_flags if own is None else own
    states = FeatureState.objects.filter(environment=environment, identity=None, feature_segment=None)
    states = states.filter(version__isnull=False).select_related("feature", "feature_state_value")
    return {
        state.feature.name: (state.enabled, state.feature_state_value.value)
        for state in states
        if state.enabled or not hides
    }


class World:
    """Rows that a whole run shares, and what was heard of them.

    At the moment of each event, in the thread that sends it, another session fetches.
    """

    def __init__(self, site: Site, heard: Heard) -> None:
        self.site = site
        self.heard = heard
        self.reader = Session()
        self.late: list[str] = []
        self._by_channel = {f"{environment.api_key}": environment for environment in site.environments}
        self._take, heard.wake_threadsafe = heard.wake_threadsafe, self._fetch_at_each  # type: ignore[method-assign]

    def _fetch_at_each(self) -> None:
        before = len(self.heard.events)
        self._take()
        for event in self.heard.events[before:]:
            (environment,) = (each for key, each in self._by_channel.items() if event.channel.endswith(key))
            version, _ = self.reader.do(lambda environment=environment: fetch(environment))
            announced = Decimal(epoch_seconds(eventstream.parse(event.data)))
            if version < announced:
                self.late.append(f"{announced} of {environment} was announced, {version} was served")

    def machine(self) -> type[RuleBasedStateMachine]:
        return type("BoundMachine", (AnyOrder,), {"world": self})


class AnyOrder(RuleBasedStateMachine):
    world: World

    @initialize()
    def open(self) -> None:
        # SQLite has one writer at a time, so there nothing interleaves; savepoints and rollbacks remain.
        self.sessions = [Session() for _ in range(2 if connection.vendor == "postgresql" else 1)]
        self.world.heard.clear()
        self.world.late.clear()
        self.expected: dict[int, int] = dict.fromkeys(self.world.site.all_environments, 0)
        self.committed = True

    @rule(number=st.integers(0, 1), actions=st.sampled_from(ACTIONS), place=places, operation=operations)
    def step(self, number: int, actions: tuple[str, ...], place: int, operation: SiteOperation) -> None:
        """One rule for all, so that hypothesis leaves none of them out for a whole order."""
        session = self.sessions[number % len(self.sessions)]
        for action in actions:
            self.act(session, action, self.world.site.environments[place], operation)

    def act(self, session: Session, action: str, environment: Environment, operation: SiteOperation) -> None:
        if action == OPERATE:
            self.operate(session, environment, operation)
        elif action in (KEEP, UNDO) and session.levels:
            self.expect(session.leave(keep=action == KEEP))
            self.committed |= not session.levels
        elif len(session.levels) < DEPTH:
            # A savepoint needs a transaction.
            (session.enter_by_hand if action == ENTER_BY_HAND and session.levels else session.enter)()

    def operate(self, session: Session, environment: Environment, operation: SiteOperation) -> None:
        """In what is open in the session, otherwise in a transaction of its own."""
        needs = self.world.site.all_environments if operation.locks_project else {environment.pk}
        if any(needs & other.locked for other in self.sessions if other is not session):
            # It would wait for the other session.
            return
        changed = session.do(lambda: operation.perform(self.world.site, environment))
        if session.levels:
            # Locks last to the end of the transaction, also where nothing changed.
            session.locked |= needs
            session.levels[-1] |= changed
        else:
            self.expect(changed)
            self.committed = True

    def expect(self, changed: set[int]) -> None:
        for environment in changed:
            self.expected[environment] += 1

    @invariant()
    def every_commit_was_told_once_and_what_is_served_is_what_was_told(self) -> None:
        if not hasattr(self, "sessions"):
            return
        assert self.world.late == []
        rows = Environment.objects.select_related("project").in_bulk(list(self.expected))
        for environment in rows.values():
            self.events_are_the_models(environment)
            self.header_is_the_served_states(environment)
            if self.committed:
                self.document_is_as_built_anew(environment)
        self.committed = False

    def events_are_the_models(self, environment: Environment) -> None:
        versions = self.world.heard.of(environment)
        assert len(versions) == self.expected[environment.pk]
        assert versions == sorted(set(versions))
        assert versions[-1:] in ([], [environment.updated_at])

    def header_is_the_served_states(self, environment: Environment) -> None:
        """The header says the database's version, and with it comes exactly what the database holds."""
        version, flags = fetch(environment)
        assert version == Decimal(epoch_seconds(environment.updated_at))
        assert flags == stored(environment)

    def document_is_as_built_anew(self, environment: Environment) -> None:
        kept = documents.entry(Version.of(environment)).document_body.encoded
        assert kept == Entry(build(read_head(environment.pk))).document_body.encoded
        assert datetime.fromisoformat(json.loads(kept)["updated_at"]) == environment.updated_at

    def teardown(self) -> None:
        for session in getattr(self, "sessions", []):
            session.close()


@pytest.fixture
def world(
    admin: APIClient, environment: Environment, production: Environment, feature: Feature, project: Project
) -> Iterator[World]:
    staging = Environment.objects.create(name="Staging", project=project)
    create_default_states([feature], [staging])
    places = [environment, production, staging]
    Identity.objects.bulk_create(Identity(identifier="u", environment=each) for each in places)
    for _ in range(2):
        Segment.objects.create(name="segment", project=project)
    with listening(*places) as heard:
        world = World(Site(admin, project, places, feature), heard)
        try:
            yield world
        finally:
            world.reader.close()


def test_any_order__sessions_savepoints_rollbacks_and_requests__one_event_for_each_commit(world: World) -> None:
    run_state_machine_as_test(
        world.machine(),
        settings=settings(max_examples=EXAMPLES, stateful_step_count=25, suppress_health_check=list(HealthCheck)),
    )
