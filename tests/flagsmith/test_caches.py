"""Workers of Flagsmith that are stopped or killed while flags change: none answers with an older version afterwards."""

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest

from tests.flagsmith.checkout import Checkout
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.monolith import Tasks
from tests.flagsmith.sequences import PATIENCE
from tests.flagsmith.test_order import MICROSECOND
from tests.flagsmith.test_schedule import now
from tests.support import sse
from tests.support.api import VERSION_HEADER, AdminAPI, Tenant

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(600)]

# Each request has a new connection, which any worker may accept.
READS = 30


@pytest.fixture(scope="module")
def flagsmith(checkout: Checkout) -> Iterator[FlagsmithWithApp]:
    with FlagsmithWithApp(checkout, Tasks.THREADS, {"GUNICORN_WORKERS": "2"}) as flagsmith:
        yield flagsmith


@pytest.fixture
def tenant(flagsmith: FlagsmithWithApp) -> Tenant:
    api = AdminAPI.registered(flagsmith.url)
    api.session.headers["Connection"] = "close"
    return flagsmith.tenant(api)


def workers(flagsmith: FlagsmithWithApp) -> list[int]:
    """The PIDs of gunicorn's workers: those processes of the API that have no children."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, ppid, group = stat.read_text().rpartition(")")[2].split()[:3]
        except FileNotFoundError:
            continue
        if int(group) == flagsmith.api_pid:
            parents[int(stat.parent.name)] = int(ppid)
    return sorted(set(parents) - set(parents.values()))


def versions(tenant: Tenant) -> list[Decimal]:
    """The versions of responses from all workers."""
    return [Decimal(tenant.flags_response().headers[VERSION_HEADER]) for _ in range(READS)]


def test_app__worker_is_stopped_during_a_change__event_comes_and_no_response_is_older(
    flagsmith: FlagsmithWithApp, tenant: Tenant
) -> None:
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    first, second = workers(flagsmith)
    with sse.connect(flagsmith.stream_port, tenant.environment.key) as stream:
        for number, stopped in enumerate([first, second] * 3):
            versions(tenant)
            before = now()
            os.kill(stopped, SIGSTOP)
            try:
                tenant.change(feature, feature_state_value=f"value {number}")
                event = stream.event_after(before, PATIENCE).updated_at
            finally:
                os.kill(stopped, SIGCONT)
            assert [version for version in versions(tenant) if version < event - MICROSECOND] == []
    flagsmith.streams.wait_for_log("cache_not_answered")


def test_app__worker_is_killed_during_changes__no_response_is_older(
    flagsmith: FlagsmithWithApp, tenant: Tenant
) -> None:
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    with sse.connect(flagsmith.stream_port, tenant.environment.key) as stream:
        for number in range(4):
            versions(tenant)
            before = now()
            os.kill(workers(flagsmith)[-1], SIGKILL)
            tenant.change(feature, feature_state_value=f"value {number}")
            event = stream.event_after(before, PATIENCE).updated_at
            assert [version for version in versions(tenant) if version < event - MICROSECOND] == []
