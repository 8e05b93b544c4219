"""Installations of the app in Flagsmith: with parts that are down, with Redis, and without code in its processes."""

import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.flagsmith.change_requests import ChangeRequest, commit
from tests.flagsmith.checkout import Checkout
from tests.flagsmith.installed import FOLLOWING, FlagsmithWithApp
from tests.flagsmith.monolith import Tasks
from tests.flagsmith.reading import Read
from tests.flagsmith.sequences import PATIENCE
from tests.flagsmith.test_signals import MICROSECOND, settle, versions_until_quiet
from tests.support import sse
from tests.support.api import AdminAPI
from tests.support.redis import Redis

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(600)]


def test_app__task_processor_stopped__events_come_and_none_twice(checkout: Checkout) -> None:
    with FlagsmithWithApp(checkout, Tasks.PROCESSOR, {}) as flagsmith:
        tenant = flagsmith.tenant(AdminAPI.registered(flagsmith.url))
        feature = tenant.add_feature("banner", initial_value="old")["id"]
        settle(flagsmith)
        with sse.connect(flagsmith.stream_port, tenant.environment.key) as stream:
            version = stream.next_event().updated_at
            flagsmith.processor.stop()
            for number in range(3):
                tenant.change(feature, feature_state_value=f"value {number}")
                version = stream.event_after(version).updated_at
                assert tenant.flags()["banner"] == (False, f"value {number}")

            flagsmith.start_processor()
            settle(flagsmith)

            assert versions_until_quiet(stream, version) == []
        read = Read.of(tenant)
        assert abs(read.header - version) <= MICROSECOND
        assert abs(read.version - version) <= MICROSECOND


def test_app__no_streams_when_a_scheduled_change_goes_live__announced_when_they_are_back(checkout: Checkout) -> None:
    with FlagsmithWithApp(checkout, Tasks.THREADS, {}) as flagsmith:
        tenant = flagsmith.tenant(AdminAPI.registered(flagsmith.url))
        feature = tenant.add_feature("banner", initial_value="old")["id"]
        settle(flagsmith)
        before = Read.of(tenant).header
        flagsmith.streams.stop()
        (live_from,) = commit(flagsmith, ChangeRequest(tenant, feature, "new", 3))
        time.sleep(max(0.0, (live_from - datetime.now(UTC) + timedelta(seconds=1)).total_seconds()))
        assert abs(Read.of(tenant).header - before) <= MICROSECOND

        flagsmith.serve_streams(flagsmith.stream_port)

        with sse.connect(flagsmith.stream_port, tenant.environment.key) as stream:
            assert stream.event_after(before + MICROSECOND, PATIENCE).updated_at > live_from.timestamp()
            assert Read.of(tenant).unlike({"everyone.banner": (True, "new")}) == {}


def test_app__version_cannot_be_raised__change_stands_and_flagsmiths_own_version_is_followed(
    checkout: Checkout,
) -> None:
    """The row of the environment is locked by another transaction, so that the thread waits."""
    with FlagsmithWithApp(checkout, Tasks.THREADS, {}) as flagsmith:
        tenant = flagsmith.tenant(AdminAPI.registered(flagsmith.url))
        feature = tenant.add_feature("banner", initial_value="old")["id"]
        settle(flagsmith)
        with sse.connect(flagsmith.stream_port, tenant.environment.key) as stream:
            version = stream.next_event().updated_at
            with psycopg.connect(flagsmith.settings["DATABASE_URL"]) as connection:
                connection.execute("SELECT 1 FROM environments_environment FOR UPDATE")
                began = time.monotonic()
                tenant.change(feature, enabled=True)
                assert time.monotonic() - began < PATIENCE
                assert tenant.flags()["banner"] == (True, "old")
                assert versions_until_quiet(stream, version) == []
            version = stream.event_after(version, PATIENCE).updated_at
            settle(flagsmith)
            assert versions_until_quiet(stream, version) == []


def test_app__followed__versions_that_flagsmith_writes_are_found(checkout: Checkout) -> None:
    with FlagsmithWithApp(checkout, Tasks.THREADS, {"ENVIRONMENT_CACHE_SECONDS": "0"}, lines=FOLLOWING) as flagsmith:
        tenant = flagsmith.tenant(AdminAPI.registered(flagsmith.url))
        feature = tenant.add_feature("banner", initial_value="old")["id"]
        flagsmith.settle()
        with sse.connect(flagsmith.stream_port, tenant.environment.key) as stream:
            version = stream.next_event().updated_at
            tenant.change(feature, enabled=True)
            stream.event_after(version, PATIENCE)
            assert tenant.flags()["banner"] == (True, "old")


def test_app__redis_as_bus__each_worker_serves_the_version_of_the_event(checkout: Checkout) -> None:
    with Redis() as redis:
        lines = f'EVENTSTREAM_REDIS = {{"host": "127.0.0.1", "port": {redis.port}}}\n'
        with FlagsmithWithApp(checkout, Tasks.THREADS, {"GUNICORN_WORKERS": "2"}, lines=lines) as flagsmith:
            tenant = flagsmith.tenant(AdminAPI.registered(flagsmith.url))
            feature = tenant.add_feature("banner", initial_value="old")["id"]
            settle(flagsmith)
            with sse.connect(flagsmith.stream_port, tenant.environment.key) as stream:
                version = stream.next_event().updated_at
                for number in range(10):
                    tenant.change(feature, feature_state_value=f"value {number}")
                    version = stream.event_after(version).updated_at
                    for _ in range(4):
                        assert abs(tenant.version() - version) <= MICROSECOND
                    assert tenant.flags()["banner"] == (False, f"value {number}")
