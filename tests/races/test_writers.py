"""Promises I1 to I3 with many writers at once, on real servers, on both databases.

``RACE_OPERATIONS`` is the number of operations of each of the eight writers; 500 make the long version.
"""

import os
from collections.abc import Callable

import pytest

from tests.races.writers import GONE, race
from tests.support.api import AdminAPI, Tenant
from tests.support.server import ServerProcess

OPERATIONS = int(os.environ.get("RACE_OPERATIONS", "40"))
WRITERS = 8


@pytest.mark.timeout(60 + OPERATIONS * 4)
@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_writers__eight_at_once__every_subscriber_sees_rising_versions_and_the_newest_state(
    start_server: Callable[..., ServerProcess], database: str
) -> None:
    server = start_server("uvicorn", database)
    tenant = Tenant.create(AdminAPI.registered(server.url), ("Development", "Staging", "Production"))
    outcome = race(tenant, WRITERS, OPERATIONS)
    for watcher in outcome.watchers:
        assert watcher.problems == []
        assert watcher.versions == sorted(set(watcher.versions))
        assert watcher.versions[-1] == tenant.version(watcher.environment)
    assert len(outcome.statuses) == WRITERS * OPERATIONS
    assert {status for status in outcome.statuses if status >= 400} <= GONE
    assert "request_failed" not in server.log
    assert "database is locked" not in server.log
    assert "deadlock" not in server.log
