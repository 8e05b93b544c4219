"""A suspended PostgreSQL: its connections stay open, and queries get no response."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.api import AdminAPI, Tenant
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess, migrated_cluster, migrated_postgresql

pytestmark = pytest.mark.e2e

TIMEOUT_SECONDS = 3
READINESS_SECONDS = 2

# Tolerance for a busy machine. Without timeouts the calls took a minute.
SLACK_SECONDS = 5.0


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[tuple[Any, Tenant]]:
    """A PostgreSQL cluster, and a tenant of a server that uses it."""
    with migrated_cluster() as cluster:
        database = migrated_postgresql(cluster).copy(tmp_path)
        with ServerProcess(database | {"DATABASE_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS)}) as server:
            tenant = Tenant.create(AdminAPI.registered(server.url))
            tenant.add_feature("banner", initial_value="plain")
            yield cluster, tenant


@pytest.mark.slow
def test_postgresql__suspended__503_within_the_timeouts_and_recovery_afterwards(
    tenant: tuple[Any, Tenant],
) -> None:
    cluster, acme = tenant
    feature = acme.api.get(f"projects/{acme.project}/features/")["results"][0]["id"]
    state = acme.state(feature)["id"]
    key = {"X-Environment-Key": acme.environment.key}
    url, path = acme.api.url, f"environments/{acme.environment.key}/featurestates/{state}/"
    session = requests.Session()
    session.headers["Authorization"] = acme.api.session.headers["Authorization"]

    def call(method: str, path: str, seconds: float, **arguments: Any) -> requests.Response:
        began = time.monotonic()
        answer = requests.request(method, f"{url}{path}", timeout=PATIENCE, **arguments)
        assert time.monotonic() - began < seconds + SLACK_SECONDS
        return answer

    def change(enabled: bool) -> requests.Response:
        headers = {"Authorization": str(session.headers["Authorization"])}
        return call("PATCH", f"/api/v1/{path}", TIMEOUT_SECONDS + 3, headers=headers, json={"enabled": enabled})

    assert change(True).status_code == 200
    assert call("GET", "/api/v1/flags/", PATIENCE, headers=key).json()[0]["enabled"] is True
    with cluster.paused(), ThreadPoolExecutor(8) as threads:
        ready = [threads.submit(call, "GET", "/health/readiness", READINESS_SECONDS) for _ in range(3)]
        reads = [
            threads.submit(call, "GET", f"/api/v1/{read}", TIMEOUT_SECONDS, headers=key)
            for read in ("flags/", "flags/", "identities/?identifier=ada")
        ]
        changes = [threads.submit(change, False) for _ in range(2)]
        assert [answer.result().status_code for answer in ready] == [503] * 3
        assert ready[0].result().json()["database"] == "the database does not answer"
        for each in (*reads, *changes):
            assert (each.result().status_code, each.result().headers["Retry-After"]) == (503, "1")
            assert "database" in each.result().json()["detail"]
        assert call("GET", "/health/liveness", SLACK_SECONDS).status_code == 200

    deadline = time.monotonic() + PATIENCE
    while call("GET", "/health/readiness", PATIENCE).status_code != 200:
        assert time.monotonic() < deadline
    assert call("GET", "/api/v1/flags/", PATIENCE, headers=key).json()[0]["enabled"] is True
    assert change(False).status_code == 200
    assert call("GET", "/api/v1/flags/", PATIENCE, headers=key).json()[0]["enabled"] is False


@pytest.mark.slow
def test_query__longer_than_the_timeout_on_a_running_server__completes(tenant: tuple[Any, Tenant]) -> None:
    import psycopg

    from realtime.serving.postgresql import silence

    cluster, _ = tenant
    connection: type[psycopg.Connection[Any]] = silence.answering_within(TIMEOUT_SECONDS)
    with connection.connect(cluster.url()) as connected:
        assert connected.execute("SELECT pg_sleep(2.5), 1").fetchone() == ("", 1)
    # A server that rejects new connections is running.
    with psycopg.connect(cluster.url(), autocommit=True) as other:
        other.execute("CREATE ROLE one LOGIN PASSWORD 'secret'")
        with connection.connect(cluster.url(), user="one", password="secret") as connected:
            other.execute("ALTER ROLE one NOLOGIN")
            assert connected.execute("SELECT pg_sleep(2.5), 1").fetchone() == ("", 1)
