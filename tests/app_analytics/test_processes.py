"""Usage counts of real servers: none is lost when servers end, and several processes can write them."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from signal import SIGKILL
from typing import Any

import psycopg
import pytest
import requests

from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.patience import PATIENCE
from tests.support.server import MigratedPostgreSQL, ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NEVER = "3600"

TOTAL_OF_BILLABLE = "SELECT sum(total_count) FROM app_analytics_apiusagebucket WHERE resource < 100"


def read_flags(tenant: Tenant, number: int) -> None:
    """Send this number of requests, from eight concurrent clients."""
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda _: tenant.flags_response(), range(number)))


def usage(tenant: Tenant, path: str = "") -> Any:
    return tenant.api.get(f"organisations/{tenant.organisation}/usage-data/{path}")


def test_server__sigterm_or_sigkill__no_written_count_lost(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server("daphne", API_USAGE_CACHE_SECONDS=NEVER, USAGE_THROTTLE_RATE="1000000/min")
    tenant = Tenant.create(AdminAPI.registered(server.url))
    feature = tenant.add_feature("banner")
    read_flags(tenant, 40)
    sdk = {"X-Environment-Key": tenant.environment.key, "Flagsmith-Application-Name": "shop"}
    requests.post(f"{server.url}/api/v1/analytics/flags/", json={"banner": 7}, headers=sdk, timeout=PATIENCE)
    with sse.connect(server.port, tenant.environment.key) as stream:
        stream.next_event()
    assert usage(tenant) == []
    server.stop()
    server.variables["API_USAGE_CACHE_SECONDS"] = "0.05"
    server.start()
    assert usage(tenant, "total-count/") == {"count": 40}
    assert [row["count"] for row in usage(tenant, "streams/")] == [1]
    path = f"projects/{tenant.project}/features/{feature['id']}/evaluation-data/"
    (evaluated,) = tenant.api.get(f"{path}?environment_id={tenant.environment.id}")
    assert (evaluated["count"], evaluated["labels"]["client_application_name"]) == (7, "shop")
    read_flags(tenant, 2)
    server.process.wait_until(lambda: usage(tenant, "total-count/") == {"count": 42})
    server.process.send(SIGKILL)
    server.process.wait()
    with closing(sqlite3.connect(Path(server.variables["VAR_DIR"]) / "db.sqlite3")) as database:
        assert database.execute(TOTAL_OF_BILLABLE).fetchone() == (42,)


def test_servers__two_workers_and_sigterm__no_request_lost(
    postgresql_template: MigratedPostgreSQL, tmp_path: Path
) -> None:
    variables = postgresql_template.copy(tmp_path) | {"API_USAGE_CACHE_SECONDS": "0.2"}
    with ServerProcess(variables, arguments=("--workers=2",)) as server:
        tenant = Tenant.create(AdminAPI.registered(server.url))
        read_flags(tenant, 400)
        assert server.stop() == 0
        assert "usage_not_written" not in server.log
    with psycopg.connect(variables["DATABASE_URL"]) as database:
        assert database.execute(TOTAL_OF_BILLABLE).fetchone() == (400,)
