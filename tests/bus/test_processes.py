"""Two server processes and a bus: what is changed at one is heard at the other, whatever becomes of the bus.

Their reconcile never comes by itself: what is heard has come by the bus, or by a reconcile that the bus has asked for.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest
from redis import Redis as Client

from realtime.types import first_readable
from tests.bus.conftest import patient, until
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.postgresql import PostgreSQL
from tests.support.redis import Redis
from tests.support.server import MigratedPostgreSQL, ServerProcess
from tests.support.sse import Stream

pytestmark = pytest.mark.e2e

RECONCILE_SECONDS = 3600.0


@dataclass
class Pair:
    """One server where flags are changed, and one where they are heard of."""

    changing: ServerProcess
    hearing: ServerProcess
    database: str
    """Its URL."""

    tenant: Tenant
    feature: int

    def toggle(self) -> Decimal:
        """Change what SDKs read; the version then."""
        state = self.tenant.state(self.feature)
        self.tenant.change(self.feature, enabled=not state["enabled"])
        return self.tenant.version()

    def bus(self, server: ServerProcess) -> dict[str, object]:
        """What the server's readiness says of it, beside its status."""
        answer = server.get("/health/readiness")
        told: dict[str, object] = answer.json()
        assert answer.status == 200, told
        return {"status": told["status"], **told["bus"]}  # type: ignore[dict-item]

    def move_in_silence(self) -> None:
        """Raise the version, and let the bus lose it."""
        version = first_readable(datetime.now(UTC))
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute("UPDATE environments_environment SET updated_at = %s", [version])


@pytest.fixture(scope="module", params=["postgres", "redis"])
def pair(
    request: pytest.FixtureRequest,
    postgresql_template: MigratedPostgreSQL,
    redis_server: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    variables = postgresql_template.copy(tmp_path_factory.mktemp("pair"))
    variables["REALTIME_RECONCILE_SECONDS"] = str(RECONCILE_SECONDS)
    if request.param == "redis":
        # Longer than any caller of the API waits here.
        variables["REDIS_URL"] = patient(redis_server)
    with ExitStack() as servers:
        # Several workers on the one, and a server without a lifespan on the other.
        workers = ("--workers=2",) if request.param == "postgres" else ()
        changing = servers.enter_context(ServerProcess(variables, arguments=workers))
        hearing = servers.enter_context(
            ServerProcess(variables, flavour="daphne" if request.param == "redis" else "uvicorn")
        )
        tenant = Tenant.create(AdminAPI.registered(changing.url))
        feature = tenant.add_feature("banner")["id"]
        yield Pair(changing, hearing, variables["DATABASE_URL"], tenant, feature)


@pytest.fixture
def stream(pair: Pair) -> Iterator[Stream]:
    """At the server where nothing is changed; its first event has been read, and its bus listens."""
    with sse.connect(pair.hearing.port, pair.tenant.environment.key) as stream:
        stream.next_event()
        until(lambda: pair.bus(pair.hearing)["connected"])
        yield stream


def test_change__at_another_process__is_heard_by_the_bus(pair: Pair, stream: Stream) -> None:
    version = pair.toggle()
    assert stream.event_after(version - Decimal("0.000001")).updated_at == version
    assert "Several workers" not in pair.changing.log
    pair.changing.process.wait_for_log("bus_started")


GATE_AND_FLAG = """
from django.db import transaction
from features.models import FeatureState
from projects.models import Project
project = Project.objects.get(pk={project})
for is_open in (False, True):
    with transaction.atomic():
        state = FeatureState.objects.get(pk={state})
        state.enabled = not state.enabled
        state.save()
        project.enable_realtime_updates = is_open
        project.save()
"""


def test_gate__closed_and_then_opened_after_a_flag_in_its_transaction__other_processes_send_the_open_state_alone(
    pair: Pair, stream: Stream
) -> None:
    before = pair.tenant.version()
    code = GATE_AND_FLAG.format(project=pair.tenant.project, state=pair.tenant.state(pair.feature)["id"])
    pair.changing.manage("shell", "-v0", "-c", code)
    assert stream.event_after(before).updated_at == pair.tenant.version()


def test_event_that_the_bus_lost__connection_ended__is_found_as_soon_as_it_is_back(
    pair: Pair, stream: Stream, redis_server: Redis, postgresql: PostgreSQL
) -> None:
    before = pair.tenant.version()
    reconnects = pair.bus(pair.hearing)["reconnects"]
    pair.move_in_silence()
    version = pair.tenant.version()
    assert version > before
    cut(pair, redis_server)
    assert stream.event_after(before).updated_at == version
    assert pair.bus(pair.hearing)["reconnects"] > reconnects  # type: ignore[operator]


def cut(pair: Pair, redis_server: Redis) -> None:
    """End all connections that a bus listens on."""
    if pair.bus(pair.hearing)["name"] == "redis":
        with Client.from_url(redis_server.url) as client:
            client.client_kill_filter(_type="pubsub")
        return
    with psycopg.connect(pair.database, autocommit=True) as connection:
        listeners = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'realtime-bus'"
        connection.execute(listeners)


@pytest.mark.parametrize("pair", ["redis"], indirect=True)
def test_redis_paused__changes_are_answered_and_heard_where_they_are_made(pair: Pair, redis_server: Redis) -> None:
    with sse.connect(pair.changing.port, pair.tenant.environment.key) as own:
        version = own.next_event().updated_at
        redis_server.process.send(signal.SIGSTOP)
        try:
            for _ in range(3):
                pair.toggle()
                version = own.event_after(version).updated_at
            until(lambda: pair.bus(pair.changing)["status"] == "degraded")
        finally:
            redis_server.process.send(signal.SIGCONT)
    until(lambda: pair.bus(pair.changing)["status"] == "ok")


@pytest.mark.parametrize("pair", ["redis"], indirect=True)
def test_redis_ended_and_started__what_was_changed_meanwhile_is_heard(
    pair: Pair, stream: Stream, redis_server: Redis
) -> None:
    redis_server.stop()
    try:
        version = pair.toggle()
        until(lambda: pair.bus(pair.hearing)["status"] == "degraded")
    finally:
        redis_server.start()
    assert stream.event_after(version - Decimal("0.000001")).updated_at == version
