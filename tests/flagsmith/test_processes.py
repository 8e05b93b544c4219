"""Several processes of Flagsmith and of our server: a change by any worker reaches the streams of all servers."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.flagsmith.beside import Beside
from tests.flagsmith.checkout import Checkout
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.monolith import Flagsmith, Tasks
from tests.flagsmith.sequences import PATIENCE
from tests.flagsmith.test_schedule import now
from tests.support import ports, sse
from tests.support.api import AdminAPI, Tenant
from tests.support.detached import DetachedServer
from tests.support.postgresql import PostgreSQL
from tests.support.redis import Redis

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(600)]

# The cache of each process would serve old flags until it expires.
SEVERAL = {"GUNICORN_WORKERS": "3", "ENVIRONMENT_CACHE_SECONDS": "0"}

CHANGES = 12

# The number of streams of one server, so that each of its workers has some.
STREAMS = 6


def prepared(flagsmith: Flagsmith) -> tuple[Tenant, int]:
    """A tenant with a feature. Each call has a new connection, which any of Flagsmith's workers may accept."""
    api = AdminAPI.registered(flagsmith.url)
    api.session.headers["Connection"] = "close"
    tenant = flagsmith.tenant(api)
    return tenant, tenant.add_feature("banner", initial_value="old")["id"]


def assert_all_receive(flagsmith: Flagsmith, tenant: Tenant, feature: int, servers: list[int]) -> None:
    """Make changes. Each stream of these ports gets an event, after which the API serves the change."""
    with ExitStack() as stack:
        streams = [
            stack.enter_context(sse.connect(port, tenant.environment.key)) for port in servers for _ in range(STREAMS)
        ]
        for number in range(CHANGES):
            flagsmith.settle()
            before = now()
            tenant.change(feature, feature_state_value=f"value {number}")
            for stream in streams:
                stream.event_after(before, PATIENCE)
                assert tenant.flags()["banner"] == (False, f"value {number}")


def test_app__several_processes__changes_of_any_worker_reach_each_stream(checkout: Checkout) -> None:
    with FlagsmithWithApp(checkout, Tasks.THREADS, SEVERAL) as flagsmith:
        others = [ports.free_port(), ports.free_port()]
        flagsmith.serve_streams(others[0])
        flagsmith.serve_streams(others[1], "--workers=2")
        tenant, feature = prepared(flagsmith)
        assert_all_receive(flagsmith, tenant, feature, [flagsmith.stream_port, *others])


@pytest.mark.parametrize("bus", ["postgresql", "redis"])
def test_drop_in__several_servers_on_one_database__changes_of_any_worker_reach_each_stream(
    checkout: Checkout, tmp_path: Path, bus: str
) -> None:
    """Flagsmith posts to one of the servers."""
    with ExitStack() as stack:
        database = stack.enter_context(PostgreSQL())
        shared = {"DATABASE_URL": database.url(database.create_database())}
        if bus == "redis":
            shared["REDIS_URL"] = stack.enter_context(Redis()).url
        both = stack.enter_context(Beside(checkout, Tasks.THREADS, tmp_path, SEVERAL, **shared))
        options = {"REALTIME_STREAM_SECONDS": "3600", **shared}
        others = [
            stack.enter_context(DetachedServer(tmp_path, *arguments, **options)) for arguments in ([], ["--workers=2"])
        ]
        tenant, feature = prepared(both.flagsmith)
        assert_all_receive(both.flagsmith, tenant, feature, [both.stream_port, *(other.port for other in others)])
