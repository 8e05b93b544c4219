"""Promises I1 to I3 with concurrent writers, on real servers and both databases.

``RACE_OPERATIONS`` is the number of operations of each of the eight writers. ``-s`` prints figures.
"""

import time
from collections.abc import Callable

import pytest

from tests.races import LOCK_PATIENCE
from tests.races.writers import Outcome, race
from tests.support.api import AdminAPI, Tenant
from tests.support.samples import size
from tests.support.server import ServerProcess

OPERATIONS = size("RACE_OPERATIONS", some=10, many=50)
WRITERS = 8

# Parts of log lines about failures. (The line about a change request whose feature was deleted is none of these.)
FAILURES = (
    '"request_failed"',
    '"change_request_not_applied"',
    '"scheduler_failing"',
    "database is locked",
    "deadlock",
    "Traceback",
)


@pytest.mark.timeout(3 * LOCK_PATIENCE + OPERATIONS * 6)
@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_writers__eight_concurrent__every_subscriber_receives_rising_versions_and_the_newest(
    start_server: Callable[..., ServerProcess], database: str
) -> None:
    server = start_server("uvicorn", database, DJANGO_SETTINGS_MODULE="tests.races.patient")
    tenant = Tenant.create(AdminAPI.registered(server.url), ("Development", "Staging", "Production"))
    began = time.perf_counter()
    outcome = race(tenant, WRITERS, OPERATIONS)
    print(f"{database}: {time.perf_counter() - began:.0f} s\n{outcome}")
    for watcher in outcome.watchers:
        assert watcher.problems == []
        assert watcher.versions == sorted(set(watcher.versions))
        assert watcher.versions[-1] == tenant.version(watcher.environment)
    assert outcome.operations.total() == WRITERS * OPERATIONS
    assert max(outcome.answers) < 500
    assert [failure for failure in FAILURES if failure in server.log] == []
    assert_newest_state_is_served(outcome)


def assert_newest_state_is_served(outcome: Outcome) -> None:
    tenant = outcome.shared.tenant
    tenant.api.patch(f"projects/{tenant.project}/", hide_disabled_flags=False)
    for environment in tenant.environments:
        served = tenant.flags(environment)
        for number, feature in enumerate(outcome.shared.features):
            state = tenant.state(feature, environment)
            assert served[f"shared-{number}"] == (state["enabled"], state["feature_state_value"])
