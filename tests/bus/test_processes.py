"""Two server processes and a bus: streams of one get the changes made in the other, also after failures of the bus.

The periodic reconcile is turned off, so events arrive by the bus, or by a reconcile that the bus has requested.
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
from tests.bus.conftest import patient
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.patience import until
from tests.support.postgresql import PostgreSQL
from tests.support.redis import Redis
from tests.support.server import MigratedPostgreSQL, ServerProcess
from tests.support.sse import Stream

pytestmark = pytest.mark.e2e

RECONCILE_SECONDS = 3600.0


@dataclass
class Pair:
    """A server in which flags are changed, and a server with streams."""

    changing: ServerProcess
    receiving: ServerProcess
    database: str
    """The database's URL."""

    tenant: Tenant
    feature: int

    def toggle(self) -> Decimal:
        """Toggle the flag, and return the environment's new version."""
        state = self.tenant.state(self.feature)
        self.tenant.change(self.feature, enabled=not state["enabled"])
        return self.tenant.version()

    def bus(self, server: ServerProcess) -> dict[str, object]:
        """The bus's health and the status in the server's readiness response."""
        answer = server.get("/health/readiness")
        body: dict[str, object] = answer.json()
        assert answer.status == 200, body
        return {"status": body["status"], **body["bus"]}  # type: ignore[dict-item]

    def raise_unannounced(self) -> None:
        """Raise the version without publishing an event, as if the bus had lost it."""
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
        # Longer than any request of these tests may take.
        variables["REDIS_URL"] = patient(redis_server)
    with ExitStack() as servers:
        # With PostgreSQL the changing server has two workers; with Redis the other has no lifespan (daphne).
        workers = ("--workers=2",) if request.param == "postgres" else ()
        changing = servers.enter_context(ServerProcess(variables, arguments=workers))
        receiving = servers.enter_context(
            ServerProcess(variables, flavour="daphne" if request.param == "redis" else "uvicorn")
        )
        tenant = Tenant.create(AdminAPI.registered(changing.url))
        feature = tenant.add_feature("banner")["id"]
        yield Pair(changing, receiving, variables["DATABASE_URL"], tenant, feature)


@pytest.fixture
def stream(pair: Pair) -> Iterator[Stream]:
    """A stream of the other server, after its first event, with a connected bus."""
    with sse.connect(pair.receiving.port, pair.tenant.environment.key) as stream:
        stream.next_event()
        until(lambda: pair.bus(pair.receiving)["connected"])
        yield stream


def test_change__in_another_process__delivered_by_the_bus(pair: Pair, stream: Stream) -> None:
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


def test_gate__closed_and_opened_by_transactions_that_change_a_flag__other_process_delivers_only_the_open_state(
    pair: Pair, stream: Stream
) -> None:
    before = pair.tenant.version()
    code = GATE_AND_FLAG.format(project=pair.tenant.project, state=pair.tenant.state(pair.feature)["id"])
    pair.changing.manage("shell", "-v0", "-c", code)
    assert stream.event_after(before).updated_at == pair.tenant.version()


def test_bus__event_lost_with_the_connection__delivered_after_the_reconnect(
    pair: Pair, stream: Stream, redis_server: Redis, postgresql: PostgreSQL
) -> None:
    before = pair.tenant.version()
    reconnects = pair.bus(pair.receiving)["reconnects"]
    pair.raise_unannounced()
    version = pair.tenant.version()
    assert version > before
    cut(pair, redis_server)
    assert stream.event_after(before).updated_at == version
    assert pair.bus(pair.receiving)["reconnects"] > reconnects  # type: ignore[operator]


def cut(pair: Pair, redis_server: Redis) -> None:
    """Close the listening connections of all buses."""
    if pair.bus(pair.receiving)["name"] == "redis":
        with Client.from_url(redis_server.url) as client:
            client.client_kill_filter(_type="pubsub")
        return
    with psycopg.connect(pair.database, autocommit=True) as connection:
        listeners = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'realtime-bus'"
        connection.execute(listeners)


@pytest.mark.parametrize("pair", ["redis"], indirect=True)
def test_redis__paused__changes_are_answered_and_delivered_in_the_same_process(pair: Pair, redis_server: Redis) -> None:
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
def test_redis__stopped_and_started__change_made_meanwhile_is_delivered(
    pair: Pair, stream: Stream, redis_server: Redis
) -> None:
    redis_server.stop()
    try:
        version = pair.toggle()
        until(lambda: pair.bus(pair.receiving)["status"] == "degraded")
    finally:
        redis_server.start()
    assert stream.event_after(version - Decimal("0.000001")).updated_at == version
