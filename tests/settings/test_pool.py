"""The connection pool for PostgreSQL during and after a failure of the database."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from django.db.utils import ConnectionHandler
from psycopg import sql
from pytest_django import DjangoDbBlocker

from realtime.serving import databases
from tests.support import sse
from tests.support.api import AdminAPI
from tests.support.patience import PATIENCE, until
from tests.support.postgresql import PostgreSQL
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

CLIENTS = 4

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}"


@pytest.fixture
def database(postgresql: PostgreSQL) -> str:
    """The name of a new database."""
    return postgresql.create_database()


@pytest.fixture
def pooled(postgresql: PostgreSQL, database: str, django_db_blocker: DjangoDbBlocker) -> Iterator[ConnectionHandler]:
    """The database with the product's settings, and a long timeout for busy machines."""
    default = databases.from_url(postgresql.url(database), CLIENTS)
    default["OPTIONS"]["pool"]["timeout"] = 2 * PATIENCE
    pooled = ConnectionHandler({"default": default})
    with django_db_blocker.unblock():
        yield pooled
        pooled["default"].close_pool()


def connect_concurrently(pooled: ConnectionHandler, clients: int) -> None:
    """Let so many clients hold a connection at the same time."""
    all_connected = threading.Barrier(clients, timeout=PATIENCE)

    def connect() -> None:
        with pooled["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
            all_connected.wait()
        pooled["default"].close()

    with ThreadPoolExecutor(clients) as threads:
        for done in [threads.submit(connect) for _ in range(clients)]:
            done.result()


def test_pool__server_closed_all_connections__all_are_replaced_at_the_first_failure(
    postgresql: PostgreSQL, database: str, pooled: ConnectionHandler
) -> None:
    """psycopg's own pool tries one after the other, and waits 1 s after the second, 2 s after the third."""
    connect_concurrently(pooled, CLIENTS)
    postgresql.execute(sql.SQL(TERMINATE).format(database))
    connect_concurrently(pooled, 1)
    assert pooled["default"].pool.get_stats()["connections_lost"] == 1
    connect_concurrently(pooled, CLIENTS)


def test_pool__database_comes_back_after_the_pool_gave_up__a_waiting_client_is_served(
    postgresql: PostgreSQL, pooled: ConnectionHandler, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as thread:
        with ExitStack() as away:
            postgresql.stop()
            away.callback(postgresql.start)
            client = thread.submit(connect_concurrently, pooled, 1)
            until(lambda: any("reconnection attempt" in line for line in caplog.messages))
        client.result(PATIENCE)


def test_pool__a_single_connection__is_not_used_by_streams_and_sdk_reads(
    start_server: Callable[..., ServerProcess],
) -> None:
    # The scheduler and the deliverer of webhooks keep one connection of the pool each.
    variables = {"DATABASE_POOL_SIZE": "1", "RUN_SCHEDULER": "false", "DELIVER_WEBHOOKS": "false"}
    server = start_server("uvicorn", "postgresql", **variables)
    demo = json.loads(server.manage("seed_demo", "--json"))
    key = demo["environments"][0]["api_key"]
    with sse.connect(server.port, key) as stream:
        stream.next_event()
        api = AdminAPI(server.url, demo["token"])
        assert api.response("GET", "flags/", headers={"X-Environment-Key": key}).status_code == 200
        assert api.response("GET", "projects/").status_code == 200
