"""Concurrent saves of one row, by the ORM and by the Admin API: no lost updates and no deadlocks.

``RACE_ROUNDS`` is the number of rounds of random pairs of writers.
"""

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, connections, models, transaction
from django.db.models.signals import pre_save
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from core.locks import lock_environment, lock_environment_shared, lock_project
from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.models import Feature, FeatureState, FeatureStateValue
from organisations.models import Organisation
from projects.models import Project
from realtime.changes import versions
from tests.conftest import signed_in
from tests.sdk.conftest import application
from tests.sdk.test_cache import check
from tests.support.events import Recorder, recorded_events
from tests.support.patience import PATIENCE
from tests.support.samples import size
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ROUNDS = size("RACE_ROUNDS", some=40, many=200)

Write = Callable[[], object]


@pytest.fixture
def postgresql_only() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")


@contextmanager
def sessions(number: int = 2) -> Iterator[Callable[[Write], Future[None]]]:
    """A function that runs a write in a thread with a database connection of its own."""

    def run(work: Write) -> None:
        try:
            work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        yield lambda work: pool.submit(run, work)


def wait_until_blocked() -> None:
    """Wait until a session waits for a lock in PostgreSQL."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            # A transaction would always see the same snapshot of ``pg_stat_activity``.
            cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
            if cursor.fetchone() == (True,):
                return
        time.sleep(0.01)
    raise TimeoutError("no session waits for a lock")


def save(state: FeatureState, enabled: bool) -> None:
    state.enabled = enabled
    state.save()


def save_in_autocommit(state: FeatureState, enabled: bool) -> None:
    """Save without a transaction: each statement is a transaction of its own."""
    state.enabled = enabled
    models.Model.save(state)


def assert_served(environment: Environment, recorded: Recorder, enabled: bool) -> None:
    """Assert that the API serves the last state, with a version that was announced."""
    (flag,) = application(environment.api_key).get("/api/v1/flags/").json()
    assert flag["enabled"] is enabled
    check(environment)
    environment.refresh_from_db()
    assert recorded.of(environment)[-1] == environment.updated_at


def test_save__another_transaction_has_written_the_row_and_not_committed__the_last_state_is_announced(
    postgresql_only: None, environment: Environment, state: FeatureState
) -> None:
    other = FeatureState.objects.get(pk=state.pk)
    with recorded_events(environment) as recorded, sessions() as run:
        with transaction.atomic():
            save(state, True)
            # It reads ``False``, and will write ``False``.
            saving = run(lambda: save(other, False))
            wait_until_blocked()
        saving.result(PATIENCE)
        assert_served(environment, recorded, False)
        assert len(recorded.of(environment)) == 2


@pytest.mark.parametrize("announced_between", [False, True])
def test_save__in_autocommit_and_another_one_between_reading_and_writing__the_last_state_is_announced(
    postgresql_only: None, environment: Environment, state: FeatureState, announced_between: bool
) -> None:
    other = FeatureState.objects.get(pk=state.pk)
    has_read, may_write = threading.Event(), threading.Event()

    def pause(instance: FeatureState, **kwargs: Any) -> None:
        if instance is other:
            has_read.set()
            assert may_write.wait(PATIENCE)

    pre_save.connect(pause, sender=FeatureState)
    try:
        with recorded_events(environment) as recorded, sessions() as run:
            saving = run(lambda: save_in_autocommit(other, False))
            assert has_read.wait(PATIENCE)
            save_in_autocommit(state, True)
            if announced_between:
                assert application(environment.api_key).get("/api/v1/flags/").json()[0]["enabled"] is True
            may_write.set()
            saving.result(PATIENCE)
            assert_served(environment, recorded, False)
    finally:
        pre_save.disconnect(pause, sender=FeatureState)


def test_save__in_autocommit_that_changes_nothing__is_no_event(environment: Environment, state: FeatureState) -> None:
    with recorded_events(environment) as recorded:
        save_in_autocommit(state, state.enabled)
        models.Model.save(state, update_fields=["live_from"])
        assert recorded.of(environment) == []
        save_in_autocommit(state, not state.enabled)
        assert len(recorded.of(environment)) == 1


def test_save__value_of_a_draft_that_is_published_meanwhile__is_announced(
    postgresql_only: None, environment: Environment, state: FeatureState
) -> None:
    FeatureState.objects.filter(pk=state.pk).update(version=None)
    FeatureStateValue.objects.filter(feature_state=state).delete()
    value = FeatureStateValue.objects.create(
        feature_state=FeatureState.objects.get(pk=state.pk), type="unicode", string_value="old"
    )
    assert value.feature_state.version is None
    with recorded_events(environment) as recorded, sessions() as run:
        with transaction.atomic():
            lock_environment(environment.pk)
            FeatureState.objects.filter(pk=state.pk).update(version=1)
            versions.announce([environment.pk])

            def edit() -> None:
                value.string_value = "new"
                value.save()

            editing = run(edit)
            wait_until_blocked()
        editing.result(PATIENCE)
        (flag,) = application(environment.api_key).get("/api/v1/flags/").json()
        assert flag["feature_state_value"] == "new"
        assert len(recorded.of(environment)) == 2
        check(environment)


def test_save__while_the_api_holds_the_environments_lock__waits_and_is_no_deadlock(
    postgresql_only: None, environment: Environment, state: FeatureState
) -> None:
    other = FeatureState.objects.get(pk=state.pk)
    with recorded_events(environment) as recorded, sessions() as run:
        with transaction.atomic():
            lock_environment(environment.pk)
            saving = run(lambda: save(other, True))
            wait_until_blocked()
            state.save()
        saving.result(PATIENCE)
        assert_served(environment, recorded, True)


def test_save__project_while_the_api_holds_the_projects_lock__waits_and_is_no_deadlock(
    postgresql_only: None, project: Project, environment: Environment
) -> None:
    other = Project.objects.get(pk=project.pk)

    def rename() -> None:
        other.name = "renamed"
        other.save()

    with sessions() as run:
        with transaction.atomic():
            lock_project(project.pk)
            saving = run(rename)
            wait_until_blocked()
            project.hide_disabled_flags = True
            project.save()
        saving.result(PATIENCE)
    check(environment)


def test_delete__project_while_the_api_changes_a_flag__waits_and_is_no_deadlock(
    postgresql_only: None, project: Project, environment: Environment, state: FeatureState
) -> None:
    with sessions() as run:
        with transaction.atomic():
            lock_environment(environment.pk)
            deleting = run(lambda: Project.objects.get(pk=project.pk).delete())
            wait_until_blocked()
            save(state, True)
        deleting.result(PATIENCE)
    assert not Environment.objects.filter(pk=environment.pk).exists()


def test_delete__organisation_while_the_api_changes_a_project__waits_and_is_no_deadlock(
    postgresql_only: None, project: Project, environment: Environment
) -> None:
    with sessions() as run:
        with transaction.atomic():
            list(Project.objects.select_for_update(no_key=True).filter(pk=project.pk))
            deleting = run(lambda: Organisation.objects.get(pk=project.organisation_id).delete())
            wait_until_blocked()
            versions.lock([environment.pk])
        deleting.result(PATIENCE)
    assert not Organisation.objects.filter(pk=project.organisation_id).exists()


@pytest.mark.parametrize("deleted", ["environment", "project"])
def test_delete__while_an_sdk_stores_traits__waits_and_is_no_deadlock(
    postgresql_only: None, request: pytest.FixtureRequest, environment: Environment, deleted: str
) -> None:
    row = request.getfixturevalue(deleted)
    identity = Identity.objects.create(identifier="ada", environment=environment)
    trait = Trait.objects.create(identity=identity, trait_key="plan", string_value="free")
    with sessions() as run:
        with transaction.atomic():
            assert lock_environment_shared(environment.pk)
            deleting = run(row.delete)
            wait_until_blocked()
            Trait.objects.filter(pk=trait.pk).update(string_value="pro")
        deleting.result(PATIENCE)
    assert not Identity.objects.filter(pk=identity.pk).exists()


def test_delete__state_that_was_read_as_a_draft_and_is_published_since__is_announced(
    environment: Environment, state: FeatureState
) -> None:
    FeatureState.objects.filter(pk=state.pk).update(version=None)
    draft = FeatureState.objects.get(pk=state.pk)
    FeatureState.objects.filter(pk=state.pk).update(version=1)
    versions.announce([environment.pk])
    assert application(environment.api_key).get("/api/v1/flags/").json()
    with recorded_events(environment) as recorded:
        draft.delete()
        assert len(recorded.of(environment)) == 1
    check(environment)


def test_create__environment_while_a_feature_is_saved__has_the_feature_as_committed(
    postgresql_only: None, project: Project, feature: Feature
) -> None:
    made: list[Environment] = []

    def create() -> None:
        environment = Environment.objects.create(name="New", project=project)
        FeatureState.objects.create(environment=environment, feature=feature, enabled=True)
        check(environment)
        made.append(environment)

    with sessions() as run:
        with transaction.atomic():
            feature.name = "renamed"
            feature.save()
            creating = run(create)
            wait_until_blocked()
        creating.result(PATIENCE)
    (flag,) = application(made[0].api_key).get("/api/v1/flags/").json()
    assert flag["feature"]["name"] == "renamed"
    check(made[0])


def test_lock__several_environments__in_the_order_of_their_primary_keys(
    environment: Environment, production: Environment
) -> None:
    third = Environment.objects.create(name="Third", project=environment.project)
    # PostgreSQL stores the row that was written last at the end of the table.
    Environment.objects.filter(pk=environment.pk).update(description="moved")
    ids = sorted((environment.pk, production.pk, third.pk))
    if connection.vendor != "postgresql":
        # SQLite locks no rows, so only the order of the query can be tested.
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            versions.lock(reversed(ids))
        (query,) = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
        assert re.match(r'SELECT "environments_environment"."id" .* ORDER BY 1 ASC$', query)
        return
    with sessions() as run:
        with transaction.atomic():
            versions.lock(ids[:1])

            def lock_all() -> None:
                with transaction.atomic():
                    versions.lock(reversed(ids))

            locking = run(lock_all)
            wait_until_blocked()
            # It waits for the first environment, and has locked none of the others yet.
            for pk in ids[1:]:
                Environment.objects.select_for_update(no_key=True, nowait=True).get(pk=pk)
        locking.result(PATIENCE)


class Writers:
    """Kinds of writers. Each round runs two of them on the same rows."""

    def __init__(self, environments: list[Environment], feature: Feature, admin: FFAdminUser) -> None:
        self.environments = environments
        self.feature = feature
        self.admin = admin
        self.kinds = (
            self.saved,
            self.saved_in_autocommit,
            self.saved_in_a_transaction,
            self.two_saved_in_a_transaction,
            self.patched,
            self.committed_as_a_change_request,
        )

    def state(self, environment: Environment) -> FeatureState:
        return FeatureState.objects.get(
            environment=environment, feature=self.feature, identity=None, feature_segment=None, version__isnull=False
        )

    def client(self) -> APIClient:
        client = signed_in(self.admin)
        client.default_format = "json"
        return client

    def saved(self, chance: random.Random) -> Write:
        state, enabled = self.state(self.environments[0]), chance.random() < 0.5
        return lambda: save(state, enabled)

    def saved_in_autocommit(self, chance: random.Random) -> Write:
        state, enabled = self.state(self.environments[0]), chance.random() < 0.5
        return lambda: save_in_autocommit(state, enabled)

    def saved_in_a_transaction(self, chance: random.Random) -> Write:
        write = self.saved(chance)

        def work() -> None:
            with transaction.atomic():
                write()

        return work

    def two_saved_in_a_transaction(self, chance: random.Random) -> Write:
        states = [self.state(environment) for environment in chance.sample(self.environments, 2)]
        enabled = chance.random() < 0.5

        def work() -> None:
            with transaction.atomic():
                for state in states:
                    save(state, enabled)

        return work

    def patched(self, chance: random.Random) -> Write:
        environment = self.environments[0]
        path = f"/api/v1/environments/{environment.api_key}/featurestates/{self.state(environment).pk}/"
        body, client = {"enabled": chance.random() < 0.5}, self.client()

        def work() -> None:
            # 404: a change request has replaced the state.
            assert client.patch(path, body).status_code in (200, 404)

        return work

    def committed_as_a_change_request(self, chance: random.Random) -> Write:
        client = self.client()
        proposed = {
            "feature": self.feature.pk,
            "enabled": chance.random() < 0.5,
            "feature_state_value": {"type": "unicode", "string_value": str(chance.random())},
            "live_from": None,
        }
        made = client.post(
            f"/api/v1/environments/{self.environments[0].api_key}/create-change-request/",
            {"title": "race", "feature_states": [proposed]},
        )
        assert made.status_code == 201, made.content

        def work() -> None:
            answer = client.post(f"/api/v1/features/workflows/change-requests/{made.json()['id']}/commit/")
            assert answer.status_code == 200, answer.content

        return work


def test_pairs_of_writers__at_random__no_deadlock_and_every_final_state_is_served_and_announced(
    postgresql_only: None,
    environment: Environment,
    production: Environment,
    feature: Feature,
    admin_user: FFAdminUser,
) -> None:
    chance = random.Random(os.environ.get("RACE_SEED", "13"))
    environments = [environment, production]
    writers = Writers(environments, feature, admin_user)
    at_once = threading.Barrier(2)

    def attempt(write: Write) -> None:
        at_once.wait(PATIENCE)
        try:
            write()
        except OperationalError:
            # Only two transactions that each save rows of two environments can wait for each other.
            assert kinds == 2 * [writers.two_saved_in_a_transaction]
        except DatabaseError:
            # The row does not exist any more: a change request has replaced it.
            assert writers.committed_as_a_change_request in kinds

    # Clients that fetch continuously fill the caches between the commits.
    ended = threading.Event()

    def fetch() -> None:
        clients = [application(each.api_key) for each in environments]
        while not ended.is_set():
            for client in clients:
                assert client.get("/api/v1/flags/").status_code == 200

    with recorded_events(*environments) as recorded, sessions(3) as run:
        fetching = run(fetch)
        try:
            for _ in range(ROUNDS):
                kinds = [chance.choice(writers.kinds) for _ in range(2)]
                writes = [kind(chance) for kind in kinds]
                for done in [run(lambda write=write: attempt(write)) for write in writes]:
                    done.result(PATIENCE)
                for each in environments:
                    check(each)
                    each.refresh_from_db()
                    assert not recorded.of(each) or max(recorded.of(each)) == each.updated_at, kinds
        finally:
            ended.set()
        fetching.result(PATIENCE)
