"""Schedulers in separate processes and in real servers, on SQLite and PostgreSQL."""

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from tests.support import programs, sse
from tests.support.api import AdminAPI, Tenant
from tests.support.patience import PATIENCE, START
from tests.support.postgresql import PostgreSQL
from tests.support.processes import Process
from tests.support.server import MOSTLY_UVICORN, ServerProcess, environ, manage

pytestmark = pytest.mark.e2e

REQUESTS = 200

SEED = """
from django.utils import timezone
from features.workflows.core.models import ChangeRequest
from tests.workflows import seeding
environment = seeding.environment_with_features({features})
seeding.schedule_requests(environment, [timezone.now()] * {requests})
ChangeRequest.objects.update(due_at=None)
"""


class Database:
    """A database of the test, and the scheduler processes that use it."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = {"DJANGO_SETTINGS_MODULE": "settings.dev", **variables}
        self._processes = ExitStack()

    def seed(self, requests: int) -> None:
        """Create committed requests that enable two features each; they are not due before ``release``."""
        manage("shell", "-c", SEED.format(features=2 * requests, requests=requests), variables=self.variables)

    def release(self, where: str = "applied_at IS NULL") -> None:
        """Make these requests due in one statement: by default the unpublished ones, so that none is due twice."""
        self.execute(f"UPDATE workflows_core_changerequest SET due_at = committed_at WHERE {where}")  # noqa: S608

    def set_time(self, request: int, time: datetime) -> None:
        """Set the time at which a committed request of this SQLite database goes live.

        Tests commit requests that are due in an hour and set the time then, so a slow commit cannot miss it.
        """
        at = f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
        with self._connected() as connection:
            for table, column, where in (
                ("workflows_core_changerequest", "due_at", "id"),
                ("workflows_core_plannedchange", "live_from", "change_request_id"),
                ("features_featurestate", "live_from", "change_request_id"),
            ):
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where} = ?", (at, request))  # noqa: S608
            connection.commit()

    def start_schedulers(self, number: int) -> list[Process]:
        command = [sys.executable, "manage.py", "run_scheduler"]
        processes = [Process(command, environ=environ(**self.variables), cwd=programs.ROOT) for _ in range(number)]
        for process in processes:
            self._processes.callback(process.kill)
        for process in processes:
            process.wait_for_log("scheduler_started", START)
        return processes

    def execute(self, statement: str) -> None:
        with self._connected() as connection:
            connection.execute(statement)
            connection.commit()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connected() as connection:
            return list(connection.execute(statement))

    def _connected(self) -> Any:
        if "DATABASE_URL" in self.variables:
            return closing(psycopg.connect(self.variables["DATABASE_URL"]))
        return closing(sqlite3.connect(Path(self.variables["VAR_DIR"]) / "db.sqlite3", timeout=PATIENCE))

    def count_due(self) -> int:
        return int(self.query("SELECT count(*) FROM workflows_core_changerequest WHERE due_at IS NOT NULL")[0][0])

    def close(self) -> None:
        self._processes.close()

    def assert_each_published_once(self, requests: int) -> None:
        """Assert that both states of each request are live as version 2, each with one audit log entry."""
        states = "SELECT enabled, version, count(*) FROM features_featurestate GROUP BY enabled, version"
        assert self.query(states) == [(True, 2, 2 * requests)]
        entries = "SELECT count(*) FROM audit_auditlog WHERE related_object_type = 'FEATURE_STATE'"
        assert self.query(entries) == [(2 * requests,)]
        failed = "SELECT count(*) FROM workflows_core_changerequest WHERE failure IS NOT NULL OR applied_at IS NULL"
        assert self.query(failed) == [(0,)]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    template = request.getfixturevalue(f"{request.param}_template")
    with closing(Database(template.copy(tmp_path / "database"))) as database:
        yield database


def published(process: Process) -> list[int]:
    """The requests that the process has logged as published."""
    lines = [line for line in process.log.splitlines() if "change_request_published" in line]
    return [json.loads(line)["change_request"] for line in lines]


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_four_schedulers__one_is_killed__each_of_200_requests_published_once_and_completely(database: Database) -> None:
    database.seed(REQUESTS)
    schedulers = database.start_schedulers(4)
    # A tenth is released after one process was killed, so that there are requests left to publish.
    database.release("id % 10 > 0")
    schedulers[0].wait_until(lambda: any(len(published(each)) >= 10 for each in schedulers))
    killed = max(schedulers, key=lambda each: len(published(each)))
    killed.send(SIGKILL)
    killed.wait()
    others = [each for each in schedulers if each is not killed]
    partly_published = (
        "SELECT change_request_id FROM features_featurestate WHERE change_request_id IS NOT NULL"
        " GROUP BY change_request_id HAVING count(version) = 1"
    )
    assert database.query(partly_published) == []
    database.release()
    while (remaining := database.count_due()) > 0:
        others[0].wait_until(lambda remaining=remaining: database.count_due() < remaining)
    assert [scheduler.stop() for scheduler in others] == [0, 0, 0]
    assert all("scheduler_ended" in scheduler.log for scheduler in others)
    published_requests = [pk for scheduler in (killed, *others) for pk in published(scheduler)]
    assert len(published_requests) == len(set(published_requests))
    database.assert_each_published_once(REQUESTS)


@pytest.mark.slow
def test_scheduler__database_restarted__recovers(
    postgresql: PostgreSQL, postgresql_template: Any, tmp_path: Path
) -> None:
    with closing(Database(postgresql_template.copy(tmp_path))) as database:
        database.seed(1)
        (scheduler,) = database.start_schedulers(1)
        postgresql.stop()
        try:
            scheduler.wait_for_log("scheduler_failing")
        finally:
            postgresql.start()
        scheduler.wait_for_log("scheduler_recovered", START)
        database.release()
        scheduler.wait_for_log("change_request_published")
        # The pool waits ten seconds for each connection that the restart of PostgreSQL closed.
        assert scheduler.stop() == 0
        assert scheduler.log.count("scheduler_failing") == 1
        database.assert_each_published_once(1)


@pytest.mark.parametrize("flavour", MOSTLY_UVICORN)
def test_server__live_from_reached__event_on_the_stream_and_flags_updated(
    start_server: Callable[..., ServerProcess], flavour: str
) -> None:
    server = start_server(flavour)
    tenant = Tenant.create(AdminAPI.registered(server.url))
    feature = tenant.add_feature("banner")["id"]
    with closing(Database(server.variables)) as database, sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        request = tenant.schedule(feature, timezone.now() + timedelta(hours=1), "new")
        assert tenant.flags() == {"banner": (False, None)}
        live_from = timezone.now() + timedelta(seconds=1)
        database.set_time(request["id"], live_from)
        event = stream.event_after(before)
        assert tenant.flags() == {"banner": (True, "new")}
        assert tenant.version() == event.updated_at
        assert float(event.updated_at) >= live_from.timestamp()


@pytest.mark.slow
def test_server__stopped_at_live_from__published_at_the_start(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    tenant = Tenant.create(AdminAPI.registered(server.url))
    tenant.schedule(tenant.add_feature("banner")["id"], timezone.now() + timedelta(hours=1), "new")
    server.stop()
    assert "scheduler_ended" in server.log
    with closing(Database(server.variables)) as database:
        # Simulates that an hour has passed.
        database.execute("UPDATE workflows_core_plannedchange SET live_from = '2020-01-01 00:00:00+00:00'")
        database.release()
    server.start()
    server.process.wait_for_log("change_request_published")
    assert tenant.flags() == {"banner": (True, "new")}


@pytest.mark.slow
def test_server__scheduler_in_another_process__event_on_the_stream(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server("uvicorn", "sqlite", RUN_SCHEDULER="false")
    tenant = Tenant.create(AdminAPI.registered(server.url))
    feature = tenant.add_feature("banner")["id"]
    with closing(Database(server.variables)) as database:
        database.start_schedulers(1)
        with sse.connect(server.port, tenant.environment.key) as stream:
            before = stream.next_event().updated_at
            request = tenant.schedule(feature, timezone.now() + timedelta(hours=1), "new")
            database.set_time(request["id"], timezone.now() + timedelta(seconds=0.5))
            stream.event_after(before)
            assert tenant.flags() == {"banner": (True, "new")}
    assert "scheduler_started" not in server.log
