"""Several processes of each kind: what any of Flagsmith's own changes reaches the streams of each of ours."""

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

# Each process has a cache of its own, which only time ends.
SEVERAL = {"GUNICORN_WORKERS": "3", "ENVIRONMENT_CACHE_SECONDS": "0"}

CHANGES = 12

# Streams of one server, so that each of its workers has some.
STREAMS = 6


def prepared(flagsmith: Flagsmith) -> tuple[Tenant, int]:
    """A tenant whose every call is a new connection, which any of Flagsmith's workers may take."""
    api = AdminAPI.registered(flagsmith.url)
    api.session.headers["Connection"] = "close"
    tenant = flagsmith.tenant(api)
    return tenant, tenant.add_feature("banner", initial_value="old")["id"]


def assert_all_hear(flagsmith: Flagsmith, tenant: Tenant, feature: int, servers: list[int]) -> None:
    """Change something again and again; each of these ports' streams hears of it, and the API shows it then."""
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


def test_app__several_processes__each_stream_hears_what_any_worker_changes(checkout: Checkout) -> None:
    with FlagsmithWithApp(checkout, Tasks.THREADS, SEVERAL) as flagsmith:
        others = [ports.free_port(), ports.free_port()]
        flagsmith.serve_streams(others[0])
        flagsmith.serve_streams(others[1], "--workers=2")
        tenant, feature = prepared(flagsmith)
        assert_all_hear(flagsmith, tenant, feature, [flagsmith.stream_port, *others])


@pytest.mark.parametrize("bus", ["postgresql", "redis"])
def test_drop_in__several_servers_on_one_database__each_stream_hears_what_any_worker_changes(
    checkout: Checkout, tmp_path: Path, bus: str
) -> None:
    """Flagsmith posts to one of them, as one address would have it."""
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
        assert_all_hear(both.flagsmith, tenant, feature, [both.stream_port, *(other.port for other in others)])
