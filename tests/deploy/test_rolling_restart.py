"""A rolling restart of two processes behind nginx, then Redis dies and comes back; and who rides through it: streams,
calls, and two official SDKs.

The processes are restarted once, for all of these. ``python -m benchmarks.rolling_restart`` is the same at full size.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from benchmarks.rolling_restart import Ride, one_after_the_other, ride
from benchmarks.server import Product
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
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600 + 4 * START)]

STREAMS = 200

# Streams end for the restart, and not of age (tests/support/server.py). The JavaScript SDK passes over what it hears
# while it fetches, which in a page on a busy machine takes seconds; it has fetched when that is said again.
VARIABLES = {"REALTIME_DRAIN_SECONDS": "4.5", "REALTIME_REPEAT_SECONDS": "10"}


@dataclass
class Ridden:
    """What came of it, and what the SDKs have after a change that was made when all was over."""

    came: Ride
    tenant: Tenant
    feature: int
    redis: Redis
    python: Client
    page: SDKPage | str
    """Or why there is none."""


@pytest.fixture(scope="module")
def ridden(postgresql_template: MigratedPostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ridden]:
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
        came = ride(
            Product(servers, demo),
            nginx,
            STREAMS,
            toggles=5,
            identities=20,
            opening=0,
            calm=0.2,
            restart=one_after_the_other,
        )
        tenant.change(feature, enabled=True, feature_state_value="after")
        yield Ridden(came, tenant, feature, redis, python, page)
        # Nobody is left to drain for.
        for server in servers:
            server.process.kill()


@pytest.fixture
def page(ridden: Ridden) -> SDKPage:
    if isinstance(ridden.page, str):
        raise ProgramMissingError(ridden.page)
    return ridden.page


def javascript_sdk(tenant: Tenant, stack: ExitStack) -> SDKPage | str:
    try:
        page = stack.enter_context(chromium()).new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(stack.enter_context(sdk_origin()))
    except ProgramMissingError as missing:
        return str(missing)
    return SDKPage(page, tenant)


def test_streams__rolling_restart__none_refused_none_cut_and_all_at_the_newest_state(ridden: Ridden) -> None:
    assert ridden.came.faults == {}
    assert ridden.came.all_at_newest
    # Those of the first process once, and then all, since the second has them all by then. What a process that ends
    # would take in, it would send away once more: six hundred.
    assert STREAMS * 1.25 < len(ridden.came.reconnects) < STREAMS * 2


def test_calls__rolling_restart__none_fails(ridden: Ridden) -> None:
    assert ridden.came.failures == {}
    assert ridden.came.toggles > 10
    assert ridden.came.identities > 40


def test_python_sdk__rolling_restart__has_what_the_api_says(ridden: Ridden) -> None:
    wait_for_python(ridden)
    # By events alone: it has not polled.
    assert not hasattr(ridden.python, "environment_data_polling_manager_thread")


def test_javascript_sdk__rolling_restart__page_has_what_the_api_says(ridden: Ridden, page: SDKPage) -> None:
    page.wait_for(ridden.tenant.flags()[FEATURE])
    assert page.errors == []


def test_sdks__redis_killed_and_back__have_each_change(ridden: Ridden, page: SDKPage) -> None:
    for change, value in ((ridden.redis.stop, "without Redis"), (ridden.redis.start, "with it again")):
        change()
        ridden.tenant.change(ridden.feature, enabled=True, feature_state_value=value)
        assert ridden.tenant.flags()[FEATURE] == (True, value)
        wait_for_python(ridden)
        page.wait_for((True, value))


def wait_for_python(ridden: Ridden) -> None:
    ridden.python.wait_until(lambda: ridden.python.seen() == ridden.tenant.flags()[FEATURE])
