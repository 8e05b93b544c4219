"""A rolling restart of two processes behind nginx, and then of Redis, under streams, calls and two official SDKs.

One restart serves all tests.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from benchmarks.server import Product
from tests.deploy.rolling_restart import Outcome, restart_one_by_one
from tests.e2e.changes import FEATURE
from tests.e2e.javascript_sdk import SDKPage, sdk_origin
from tests.e2e.python_sdk import Client
from tests.support.api import AdminAPI, Tenant
from tests.support.chromium import chromium
from tests.support.nginx import Nginx
from tests.support.patience import PATIENCE, START
from tests.support.programs import ProgramMissingError
from tests.support.redis import Redis
from tests.support.server import MigratedPostgreSQL, ServerProcess

# The first one waits for four starts of a server.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600 + 4 * START), pytest.mark.slow]

STREAMS = 200

# Streams end because of the restart, not of their duration (tests/support/server.py). The JavaScript SDK ignores events
# while it fetches, which takes seconds on a busy machine; the repetition of the event comes after that.
VARIABLES = {"REALTIME_DRAIN_SECONDS": "4.5", "REALTIME_REPEAT_SECONDS": "10"}


@dataclass
class Restarted:
    """The outcome of the restart, and the SDKs, after a change that followed the restart."""

    outcome: Outcome
    tenant: Tenant
    feature: int
    redis: Redis
    python: Client
    page: SDKPage | str
    """The reason as text if there is no page."""


@pytest.fixture(scope="module")
def restarted(postgresql_template: MigratedPostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restarted]:
    variables = postgresql_template.copy(tmp_path_factory.mktemp("server")) | VARIABLES
    with ExitStack() as stack:
        redis = stack.enter_context(Redis())
        servers = [ServerProcess(variables | {"REDIS_URL": redis.url}) for _ in range(2)]
        for server in servers:
            stack.enter_context(server)
        nginx = stack.enter_context(Nginx([server.port for server in servers]))
        api = AdminAPI.registered(nginx.url)
        tenant = Tenant.create(api)
        feature = tenant.add_feature(FEATURE, initial_value="before")["id"]
        python = Client.of(tenant, tenant.api.url)
        stack.callback(python.event_stream_thread.stop)
        page = javascript_sdk(tenant, stack)
        demo = {
            "token": str(api.session.headers["Authorization"]).removeprefix("Token "),
            "environments": [{"api_key": tenant.environment.key}],
            "features": [{"id": feature}],
        }
        outcome = restart_one_by_one(Product(servers, demo), nginx, STREAMS, toggles=5, identities=20)
        tenant.change(feature, enabled=True, feature_state_value="after")
        yield Restarted(outcome, tenant, feature, redis, python, page)
        # Not drained: all clients have disconnected.
        for server in servers:
            server.process.kill()


@pytest.fixture
def page(restarted: Restarted) -> SDKPage:
    if isinstance(restarted.page, str):
        raise ProgramMissingError(restarted.page)
    return restarted.page


def javascript_sdk(tenant: Tenant, stack: ExitStack) -> SDKPage | str:
    try:
        page = stack.enter_context(chromium()).new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(stack.enter_context(sdk_origin()))
    except ProgramMissingError as missing:
        return str(missing)
    return SDKPage(page, tenant)


def test_streams__rolling_restart__no_stream_fails_and_all_have_the_newest_state(restarted: Restarted) -> None:
    assert restarted.outcome.faults == {}
    assert restarted.outcome.all_at_newest
    # The first process's streams once, and then all of them, because the second process has them all by then. If a
    # process accepted streams while it drains, they would reconnect once more: 600.
    assert STREAMS * 1.25 < len(restarted.outcome.reconnects) < STREAMS * 2


def test_calls__rolling_restart__none_fails(restarted: Restarted) -> None:
    assert restarted.outcome.failures == {}
    assert restarted.outcome.toggles > 10
    assert restarted.outcome.identities > 40


def test_python_sdk__rolling_restart__has_the_apis_state(restarted: Restarted) -> None:
    wait_for_python(restarted)
    # By events only, without polling.
    assert not hasattr(restarted.python, "environment_data_polling_manager_thread")


def test_javascript_sdk__rolling_restart__page_has_the_apis_state(restarted: Restarted, page: SDKPage) -> None:
    page.wait_for(restarted.tenant.flags()[FEATURE])
    assert page.errors == []


def test_sdks__redis_killed_and_back__have_each_change(restarted: Restarted, page: SDKPage) -> None:
    for change, value in ((restarted.redis.stop, "without Redis"), (restarted.redis.start, "with it again")):
        change()
        restarted.tenant.change(restarted.feature, enabled=True, feature_state_value=value)
        assert restarted.tenant.flags()[FEATURE] == (True, value)
        wait_for_python(restarted)
        page.wait_for((True, value))


def wait_for_python(restarted: Restarted) -> None:
    restarted.python.wait_until(lambda: restarted.python.seen() == restarted.tenant.flags()[FEATURE])
