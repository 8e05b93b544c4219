"""Promises I1 to I3 in any order: interleaved sessions with savepoints, rollbacks and failing requests, compared
with a simple model.

``ORDER_EXAMPLES`` is the number of orders that are tried.
"""

import json
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

from environment_documents.cache import CompiledDocument, environment_cache
from environment_documents.document import Version, build, read_environment_row
from environments.identities.models import Identity
from environments.models import Environment
from features.defaults import create_default_states
from features.models import Feature, FeatureState
from projects.models import Project
from realtime.bus import eventstream
from realtime.types import epoch_seconds
from segments.models import Segment
from tests.races.operations import OPERATIONS, Site, SiteOperation
from tests.races.sessions import Session
from tests.support.api import VERSION_HEADER
from tests.support.events import Recorder, recorded_events
from tests.support.samples import size

# SQLite allows one session only, so fewer orders suffice.
EXAMPLES = size("ORDER_EXAMPLES", some=10 if connection.vendor == "postgresql" else 5, many=50)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.timeout(300 + EXAMPLES * 10),
]

OPERATE, ENTER, ENTER_WITHOUT_HOOKS, KEEP, UNDO = "operate", "enter", "enter without hooks", "keep", "undo"
ACTIONS = (
    *[(OPERATE,)] * 4,
    *[(ENTER,)] * 2,
    *[(KEEP,)] * 3,
    (UNDO,),
    (ENTER_WITHOUT_HOOKS,),
    # A whole savepoint, which would be rare by chance.
    *((ENTER, enter, OPERATE, leave) for enter in (ENTER, ENTER_WITHOUT_HOOKS) for leave in (KEEP, UNDO)),
    (ENTER, ENTER_WITHOUT_HOOKS, OPERATE, UNDO, KEEP),
)
"""The next steps of a session: operations, the begin of a transaction or savepoint, the end of the innermost one."""

DEPTH = 3

indexes = st.integers(0, 2)
operations = st.sampled_from(OPERATIONS)


def fetch(environment: Environment) -> tuple[Decimal, dict[str, Any]]:
    """The version header of ``flags/``, and the flags by name."""
    answer = APIClient().get("/api/v1/flags/", headers={"X-Environment-Key": environment.api_key})
    assert answer.status_code == 200, answer.content
    flags = {flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"]) for flag in answer.json()}
    return Decimal(answer.headers[VERSION_HEADER]), flags


def stored(environment: Environment) -> dict[str, Any]:
    """The flags in the database, in the same form."""
    own = environment.hide_disabled_flags
    hides = environment.project.hide_disabled_flags if own is None else own
    states = FeatureState.objects.filter(environment=environment, identity=None, feature_segment=None)
    states = states.filter(version__isnull=False).select_related("feature", "feature_state_value")
    return {
        state.feature.name: (state.enabled, state.feature_state_value.value)
        for state in states
        if state.enabled or not hides
    }


class Run:
    """The rows of a run, and their events.

    On each event another session fetches the flags, before the sending thread continues.
    """

    def __init__(self, site: Site, recorded: Recorder) -> None:
        self.site = site
        self.recorded = recorded
        self.reader = Session()
        self.outdated: list[str] = []
        self._by_channel = {f"{environment.api_key}": environment for environment in site.environments}
        self._take, recorded.wake_threadsafe = recorded.wake_threadsafe, self._fetch_at_each  # type: ignore[method-assign]

    def _fetch_at_each(self) -> None:
        before = len(self.recorded.events)
        self._take()
        for event in self.recorded.events[before:]:
            (environment,) = (each for key, each in self._by_channel.items() if event.channel.endswith(key))
            version, _ = self.reader.do(lambda environment=environment: fetch(environment))
            announced = Decimal(epoch_seconds(eventstream.parse(event.data)))
            if version < announced:
                self.outdated.append(f"{announced} of {environment} was announced, {version} was served")

    def machine(self) -> type[RuleBasedStateMachine]:
        return type("BoundMachine", (AnyOrder,), {"run": self})


class AnyOrder(RuleBasedStateMachine):
    run: Run

    @initialize()
    def open(self) -> None:
        # SQLite has one writer at a time, so there nothing interleaves; savepoints and rollbacks remain.
        self.sessions = [Session() for _ in range(2 if connection.vendor == "postgresql" else 1)]
        self.run.recorded.clear()
        self.run.outdated.clear()
        self.expected: dict[int, int] = dict.fromkeys(self.run.site.all_environments, 0)
        self.committed = True

    @rule(number=st.integers(0, 1), actions=st.sampled_from(ACTIONS), index=indexes, operation=operations)
    def step(self, number: int, actions: tuple[str, ...], index: int, operation: SiteOperation) -> None:
        """A single rule, since hypothesis leaves out some rules for a whole order."""
        session = self.sessions[number % len(self.sessions)]
        for action in actions:
            self.act(session, action, self.run.site.environments[index], operation)

    def act(self, session: Session, action: str, environment: Environment, operation: SiteOperation) -> None:
        if action == OPERATE:
            self.operate(session, environment, operation)
        elif action in (KEEP, UNDO) and session.levels:
            self.expect(session.leave(keep=action == KEEP))
            self.committed |= not session.levels
        elif len(session.levels) < DEPTH:
            # A savepoint needs a transaction.
            (session.enter_without_hooks if action == ENTER_WITHOUT_HOOKS and session.levels else session.enter)()

    def operate(self, session: Session, environment: Environment, operation: SiteOperation) -> None:
        """Perform the operation, in the session's transaction if one is open."""
        needs = self.run.site.all_environments if operation.locks_project else {environment.pk}
        if any(needs & other.locked for other in self.sessions if other is not session):
            # The operation would wait for the other session.
            return
        changed = session.do(lambda: operation.perform(self.run.site, environment))
        if session.levels:
            # Locks last until the end of the transaction, even if nothing changed.
            session.locked |= needs
            session.levels[-1] |= changed
        else:
            self.expect(changed)
            self.committed = True

    def expect(self, changed: set[int]) -> None:
        for environment in changed:
            self.expected[environment] += 1

    @invariant()
    def every_commit_has_one_event_and_the_newest_version_is_served(self) -> None:
        if not hasattr(self, "sessions"):
            return
        assert self.run.outdated == []
        rows = Environment.objects.select_related("project").in_bulk(list(self.expected))
        for environment in rows.values():
            self.events_match_the_model(environment)
            self.flags_match_the_database(environment)
            if self.committed:
                self.cached_document_matches_a_new_one(environment)
        self.committed = False

    def events_match_the_model(self, environment: Environment) -> None:
        versions = self.run.recorded.of(environment)
        assert len(versions) == self.expected[environment.pk]
        assert versions == sorted(set(versions))
        assert versions[-1:] in ([], [environment.updated_at])

    def flags_match_the_database(self, environment: Environment) -> None:
        """The header has the version of the database, and the flags are those of the database."""
        version, flags = fetch(environment)
        assert version == Decimal(epoch_seconds(environment.updated_at))
        assert flags == stored(environment)

    def cached_document_matches_a_new_one(self, environment: Environment) -> None:
        cached = environment_cache.get(Version.of(environment)).document_body
        assert cached == CompiledDocument(build(read_environment_row(environment.pk))).document_body
        assert datetime.fromisoformat(json.loads(cached)["updated_at"]) == environment.updated_at

    def teardown(self) -> None:
        for session in getattr(self, "sessions", []):
            session.close()


@pytest.fixture
def run(
    admin: APIClient, environment: Environment, production: Environment, feature: Feature, project: Project
) -> Iterator[Run]:
    staging = Environment.objects.create(name="Staging", project=project)
    create_default_states([feature], [staging])
    environments = [environment, production, staging]
    Identity.objects.bulk_create(Identity(identifier="u", environment=each) for each in environments)
    for _ in range(2):
        Segment.objects.create(name="segment", project=project)
    with recorded_events(*environments) as recorded:
        run = Run(Site(admin, project, environments, feature), recorded)
        try:
            yield run
        finally:
            run.reader.close()


def test_any_order__sessions_savepoints_rollbacks_and_requests__one_event_for_each_commit(run: Run) -> None:
    run_state_machine_as_test(
        run.machine(),
        settings=settings(max_examples=EXAMPLES, stateful_step_count=25, suppress_health_check=list(HealthCheck)),
    )
