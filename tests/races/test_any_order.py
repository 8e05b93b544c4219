"""Promises I1 and I2 for any order: sessions that interleave, with savepoints and rollbacks, against a simple model."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import connection, connections, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from rest_framework.test import APIClient

from environments.models import Environment
from features.defaults import create_default_states
from features.models import Feature, FeatureState
from tests.support.heard import Heard, listening

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SESSIONS = 2


class RolledBackError(Exception):
    pass


class Session:
    """A database connection in a thread of its own, with the transaction and savepoints that are open in it.

    ``levels`` is the model: for each open level, the environments that were changed in it.
    """

    def __init__(self) -> None:
        self.levels: list[set[int]] = []
        self.touched: set[int] = set()
        self._open: list[AbstractContextManager[Any] | str] = []
        self._work: queue.Queue[Callable[[], Any] | None] = queue.Queue()
        self._results: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def do(self, work: Callable[[], Any]) -> Any:
        self._work.put(work)
        result, error = self._results.get(timeout=20)
        if error is not None:
            raise error
        return result

    def enter(self) -> None:
        """Begin a transaction, or a savepoint in it."""

        def begin() -> None:
            block = transaction.atomic()
            block.__enter__()
            self._open.append(block)

        self.do(begin)
        self.levels.append(set())

    def enter_by_hand(self) -> None:
        self.do(lambda: self._open.append(transaction.savepoint()))
        self.levels.append(set())

    def leave(self, keep: bool) -> set[int]:
        """Commit or roll back the innermost level; what the commit of the outermost one has changed."""

        def end() -> None:
            block = self._open.pop()
            if isinstance(block, str):
                (transaction.savepoint_commit if keep else transaction.savepoint_rollback)(block)
            elif keep:
                block.__exit__(None, None, None)
            else:
                block.__exit__(RolledBackError, RolledBackError(), None)

        self.do(end)
        changed = self.levels.pop()
        if self.levels:
            self.levels[-1] |= changed if keep else set()
            return set()
        self.touched = set()
        return changed if keep else set()

    def close(self) -> None:
        while self.levels:
            self.leave(keep=False)
        self._work.put(None)
        self._thread.join(20)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                self._results.put((work(), None))
            except BaseException as error:
                self._results.put((None, error))
        connections.close_all()


class World:
    """Rows that a whole run shares, and what was heard of them."""

    def __init__(self, admin: APIClient, environments: list[Environment], states: dict[int, int], heard: Heard) -> None:
        self.admin = admin
        self.environments = environments
        self.states = states
        self.heard = heard

    def machine(self) -> type[RuleBasedStateMachine]:
        return type("BoundMachine", (AnyOrder,), {"world": self})


class AnyOrder(RuleBasedStateMachine):
    world: World

    @initialize()
    def open(self) -> None:
        self.sessions = [Session() for _ in range(SESSIONS)]
        self.world.heard.clear()
        self.expected: dict[int, int] = {environment.pk: 0 for environment in self.world.environments}

    def session(self, number: int) -> Session:
        return self.sessions[number]

    def is_free(self, session: Session | None, environment: int) -> bool:
        """Whether no other session has it locked."""
        return all(other is session or environment not in other.touched for other in self.sessions)

    @rule(number=st.integers(0, SESSIONS - 1))
    def enter(self, number: int) -> None:
        self.session(number).enter()

    @rule(number=st.integers(0, SESSIONS - 1))
    def enter_by_hand(self, number: int) -> None:
        if self.session(number).levels:
            self.session(number).enter_by_hand()

    @rule(number=st.integers(0, SESSIONS - 1), keep=st.booleans())
    def leave(self, number: int, keep: bool) -> None:
        session = self.session(number)
        if session.levels:
            self.expect(session.leave(keep))

    @rule(number=st.integers(0, SESSIONS - 1), index=st.integers(0, 2), change=st.booleans())
    def save(self, number: int, index: int, change: bool) -> None:
        """Save a state, with another value or with the same one."""
        session, environment = self.session(number), self.world.environments[index].pk
        if not self.is_free(session, environment):
            return

        def work() -> None:
            state = FeatureState.objects.get(pk=self.world.states[environment])
            state.enabled ^= change
            state.save()

        session.do(work)
        if session.levels:
            # The row's lock lasts to the end of the transaction, also where nothing changed.
            session.touched.add(environment)
            session.levels[-1] |= {environment} if change else set()
        elif change:
            self.expect({environment})

    @rule(number=st.integers(0, SESSIONS - 1), index=st.integers(0, 2), by_hand=st.booleans(), keep=st.booleans())
    def save_in_a_savepoint(self, number: int, index: int, by_hand: bool, keep: bool) -> None:
        """All of one: in a savepoint of a transaction that is open, change a state."""
        session = self.session(number)
        if not session.levels:
            session.enter()
        (session.enter_by_hand if by_hand else session.enter)()
        self.save(number, index, change=True)
        self.expect(session.leave(keep))

    @rule(index=st.integers(0, 2), valid=st.booleans())
    @precondition(lambda self: hasattr(self, "sessions"))
    def request(self, index: int, valid: bool) -> None:
        """The same over HTTP; a request that fails makes no event."""
        environment = self.world.environments[index]
        if not self.is_free(None, environment.pk):
            return
        state = FeatureState.objects.get(pk=self.world.states[environment.pk])
        body = {"enabled": not state.enabled if valid else "perhaps"}
        path = f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/"
        answer = self.world.admin.patch(path, body, format="json")
        assert answer.status_code == (200 if valid else 400)
        self.expect({environment.pk} if valid else set())

    def expect(self, changed: set[int]) -> None:
        for environment in changed:
            self.expected[environment] += 1

    @invariant()
    def every_commit_was_told_once_and_versions_rise(self) -> None:
        if not hasattr(self, "sessions"):
            return
        for environment in self.world.environments:
            versions = self.world.heard.of(environment)
            assert len(versions) == self.expected[environment.pk]
            assert versions == sorted(set(versions))
            if versions:
                environment.refresh_from_db(fields=["updated_at"])
                assert versions[-1] == environment.updated_at

    def teardown(self) -> None:
        for session in getattr(self, "sessions", []):
            session.close()


@pytest.fixture
def world(admin: APIClient, environment: Environment, production: Environment, feature: Feature) -> Iterator[World]:
    staging = Environment.objects.create(name="Staging", project=environment.project)
    create_default_states([feature], [staging])
    places = [environment, production, staging]
    rows = FeatureState.objects.filter(feature=feature).values_list("environment_id", "pk")
    with listening(*places) as heard:
        yield World(admin, places, dict(rows), heard)


def test_any_order__sessions_savepoints_rollbacks_and_requests__one_event_for_each_commit(world: World) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time: sessions cannot interleave")
    run_state_machine_as_test(
        world.machine(),
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
