"""The connection pool of PostgreSQL, while the database is away and afterwards."""

import json
import threading
import time
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
from tests.support.patience import PATIENCE
from tests.support.postgresql import PostgreSQL
from tests.support.server import ServerProcess

CLIENTS = 4

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}"


@pytest.fixture
def database(postgresql: PostgreSQL) -> str:
    """The name of a new database."""
    return postgresql.create_database()


@pytest.fixture
def pooled(postgresql: PostgreSQL, database: str, django_db_blocker: DjangoDbBlocker) -> Iterator[ConnectionHandler]:
    """That database as the product's settings have it, but that a client waits long enough on any machine."""
    default = databases.from_url(postgresql.url(database), CLIENTS)
    default["OPTIONS"]["pool"]["timeout"] = 2 * PATIENCE
    pooled = ConnectionHandler({"default": default})
    with django_db_blocker.unblock():
        yield pooled
        pooled["default"].close_pool()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"
        time.sleep(0.01)


def connect_together(pooled: ConnectionHandler, clients: int) -> None:
    """Let so many clients have a connection at the same time, and give it back."""
    all_have_one = threading.Barrier(clients, timeout=PATIENCE)

    def connect() -> None:
        with pooled["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
            all_have_one.wait()
        pooled["default"].close()

    with ThreadPoolExecutor(clients) as threads:
        for done in [threads.submit(connect) for _ in range(clients)]:
            done.result()


def test_pool__server_closed_all_connections__the_first_dead_one_replaces_them_all(
    postgresql: PostgreSQL, database: str, pooled: ConnectionHandler
) -> None:
    """psycopg's pool by itself takes one after the other, and waits 1 s after the second, 2 s after the third."""
    connect_together(pooled, CLIENTS)
    postgresql.execute(sql.SQL(TERMINATE).format(database))
    connect_together(pooled, 1)
    assert pooled["default"].pool.get_stats()["connections_lost"] == 1
    connect_together(pooled, CLIENTS)


def test_pool__database_comes_back_after_the_pool_gave_up__a_client_that_waits_is_served(
    postgresql: PostgreSQL, pooled: ConnectionHandler, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as thread:
        with ExitStack() as away:
            postgresql.stop()
            away.callback(postgresql.start)
            client = thread.submit(connect_together, pooled, 1)
            until(lambda: any("reconnection attempt" in line for line in caplog.messages))
        client.result(PATIENCE)


def test_pool__a_single_connection__requests_have_it_beside_streams_and_reads_of_sdks(
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
