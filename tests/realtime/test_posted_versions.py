"""The stores of posted versions: one suite over all of them, and what only Redis does."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import close_old_connections, connection
from django.utils import timezone
from redis import Redis as Client

from realtime import redis_clients
from realtime.hosts import StoreError, VersionStore
from realtime.posted_versions import redis as redis_store
from realtime.posted_versions.redis import RedisStore
from realtime.posted_versions.sql import SQLStore
from realtime.serving import redis_urls
from realtime.types import EnvironmentKey
from tests.support.patience import PATIENCE
from tests.support.redis import PROGRAMS, SERVICE, Redis, RedisCluster, Sentinel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SHOP, BLOG = EnvironmentKey("shop"), EnvironmentKey("blög")
START = datetime.fromisoformat("2026-01-01T00:00:00.000001+00:00")

NewStore = Callable[[], VersionStore]


def at(microseconds: int) -> datetime:
    return START + timedelta(microseconds=microseconds)


CLUSTER, SENTINEL = "cluster", "sentinel"
KINDS = (*PROGRAMS, CLUSTER, SENTINEL)

StartServer = Callable[[str], Redis]


@pytest.fixture(scope="module")
def start_server() -> Iterator[StartServer]:
    """Starts a server of each kind once. Of the cluster it returns one node."""
    with ExitStack() as stack:
        started: dict[str, Redis] = {}

        def start(kind: str) -> Redis:
            if kind not in started:
                if kind == CLUSTER:
                    started[kind] = stack.enter_context(RedisCluster()).nodes[0]
                elif kind == SENTINEL:
                    started[kind] = stack.enter_context(Sentinel(stack.enter_context(Redis())))
                else:
                    started[kind] = stack.enter_context(Redis(program=kind))
            return started[kind]

        yield start


def configure(settings: Any, server: Redis, kind: str) -> None:
    """Name the server in the settings, and empty it."""
    settings.REALTIME_REDIS_CLUSTER = kind == CLUSTER
    if kind == SENTINEL:
        for name, value in redis_urls.settings(f"redis+sentinel://127.0.0.1:{server.port}/{SERVICE}").items():
            setattr(settings, name, value)
    else:
        settings.EVENTSTREAM_REDIS = redis_urls.arguments(f"{server.url}?socket_timeout={PATIENCE}")
    client().flushall()


def client() -> Client:
    return redis_clients.connect({})


@pytest.fixture(params=KINDS)
def redis(request: pytest.FixtureRequest, start_server: StartServer, settings: Any) -> Redis:
    server = start_server(request.param)
    configure(settings, server, request.param)
    return server


@pytest.fixture(params=("database", *KINDS))
def new_store(request: pytest.FixtureRequest, start_server: StartServer, settings: Any) -> NewStore:
    """Returns a store of another process each time."""
    if request.param == "database":
        return SQLStore
    configure(settings, start_server(request.param), request.param)
    return RedisStore


def test_store__newer_older_and_equal_versions__greatest_is_kept_and_newer_ones_are_returned(
    new_store: NewStore,
) -> None:
    store, other = new_store(), new_store()
    assert store.read([SHOP]) == {}
    assert store.store_newer({}) == []
    assert sorted(store.store_newer({SHOP: at(2), BLOG: at(0)})) == sorted([SHOP, BLOG])
    assert other.store_newer({SHOP: at(1), BLOG: at(1)}) == [BLOG]
    assert other.store_newer({SHOP: at(2)}) == []
    assert store.read([SHOP, BLOG, EnvironmentKey("unknown")]) == {SHOP: at(2), BLOG: at(1)}


def test_store__version_of_another_process__is_among_the_changes_however_old_it_is(new_store: NewStore) -> None:
    store, other = new_store(), new_store()
    store.changed_since(timezone.now())
    assert other.store_newer({SHOP: at(0)}) == [SHOP]
    assert store.changed_since(timezone.now() - timedelta(seconds=60)) == {SHOP: at(0)}
    assert store.changed_since(timezone.now() + timedelta(seconds=60)) == {}


def test_store__concurrent_writers__greatest_wins(new_store: NewStore) -> None:
    versions = [{EnvironmentKey(f"key-{number % 7}"): at(number)} for number in range(140)]
    random.shuffle(versions)

    def store(version: dict[EnvironmentKey, datetime]) -> None:
        stores[EnvironmentKey(str(id(version) % 4))].store_newer(version)
        close_old_connections()

    stores = {EnvironmentKey(str(number)): new_store() for number in range(4)}
    if connection.vendor == "sqlite" and isinstance(stores[EnvironmentKey("0")], SQLStore):
        for version in versions:
            store(version)
    else:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(store, versions))
    keys = [EnvironmentKey(f"key-{number}") for number in range(7)]
    assert new_store().read(keys) == {EnvironmentKey(f"key-{number}"): at(133 + number) for number in range(7)}


def changes(store: RedisStore) -> dict[EnvironmentKey, datetime]:
    return store.changed_since(timezone.now() - timedelta(seconds=10))


def test_redis__emptied__refilled_by_a_process_that_has_a_copy(redis: Redis) -> None:
    writer, reader = RedisStore(), RedisStore()
    writer.store_newer({SHOP: at(5), BLOG: at(6)})
    changes(reader)
    del writer

    client().flushall()
    changes(reader)

    assert RedisStore().read([SHOP, BLOG]) == {SHOP: at(5), BLOG: at(6)}


def test_redis__emptied_and_posted_to__newer_version_is_not_overwritten(redis: Redis) -> None:
    store, other = RedisStore(), RedisStore()
    store.store_newer({SHOP: at(5), BLOG: at(6)})
    changes(store)
    client().flushall()
    other.store_newer({SHOP: at(7)})

    assert changes(store)[SHOP] == at(7)
    assert RedisStore().read([SHOP, BLOG]) == {SHOP: at(7), BLOG: at(6)}


def test_redis__has_lost_its_last_writes_in_a_failover__gets_them_back(redis: Redis) -> None:
    store = RedisStore()
    store.store_newer({SHOP: at(1)})
    changes(store)
    store.store_newer({SHOP: at(2)})
    # The state of a replica that lags.
    client().zadd(redis_store.VERSIONS, {SHOP: (at(1) - redis_store.EPOCH) // redis_store.TICK})

    assert store.read([SHOP]) == {SHOP: at(2)}
    assert RedisStore().read([SHOP]) == {SHOP: at(2)}


@pytest.mark.parametrize("redis", PROGRAMS, indirect=True)
def test_redis__restarted_with_an_old_dump__gets_the_newer_versions_back(redis: Redis) -> None:
    store = RedisStore()
    store.store_newer({SHOP: at(1)})
    client().save()
    store.store_newer({SHOP: at(2)})
    changes(store)
    redis.stop()
    redis.start()
    # The client connects again by itself, so no call fails, and the number of environments is the same.
    changes(store)

    assert RedisStore().read([SHOP]) == {SHOP: at(2)}


@pytest.mark.parametrize("redis", PROGRAMS, indirect=True)
def test_redis__read_only_after_a_failover__reads_succeed_and_no_change_is_missed(redis: Redis) -> None:
    store, other = RedisStore(), RedisStore()
    store.store_newer({SHOP: at(2)})
    changes(store)
    other.store_newer({BLOG: at(3)})
    with client() as admin:
        admin.zadd(redis_store.VERSIONS, {SHOP: (at(1) - redis_store.EPOCH) // redis_store.TICK})
        admin.client_kill_filter(_type="normal", skipme=True)
        admin.replicaof("127.0.0.1", "1")
        try:
            assert store.read([SHOP]) == {SHOP: at(2)}
            with pytest.raises(StoreError):
                changes(store)
        finally:
            admin.replicaof("NO", "ONE")

    assert changes(store)[BLOG] == at(3)
    assert RedisStore().read([SHOP]) == {SHOP: at(2)}


def test_redis__more_environments_than_the_limit__those_received_first_are_removed_and_stay_so(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "MAX_ENVIRONMENTS", 3)
    store = RedisStore()
    keys = [EnvironmentKey(f"key-{number}") for number in range(5)]
    for number, key in enumerate(keys):
        # The oldest versions are received last.
        store.store_newer({key: at(-number)})
        changes(store)

    assert set(RedisStore().read(keys)) == set(keys[2:])
    assert client().zcard(redis_store.RECEIVED) == 3


def test_redis__many_environments__read_in_batches(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "BATCH", 10)
    versions = {EnvironmentKey(f"key-{number}"): at(number) for number in range(25)}
    assert len(RedisStore().store_newer(versions)) == 25
    store = RedisStore()
    assert changes(store) == versions
    assert store.read(versions) == versions


@pytest.mark.parametrize("redis", PROGRAMS, indirect=True)
def test_redis__away__known_versions_are_read_from_the_copy_and_health_has_the_time(redis: Redis) -> None:
    store = RedisStore()
    store.store_newer({SHOP: at(1)})
    assert not store.health().has_been_read
    changes(store)
    assert (store.health().has_been_read, store.health().is_available) == (True, True)
    redis.stop()
    try:
        assert store.read([SHOP]) == {SHOP: at(1)}
        for failing in (lambda: store.read([BLOG]), lambda: store.store_newer({BLOG: at(1)}), lambda: changes(store)):
            with pytest.raises(StoreError):
                failing()
        health = store.health()
        assert (health.has_been_read, health.is_available) == (True, False)
        assert timezone.now() - health.since < timedelta(seconds=PATIENCE)
    finally:
        redis.start()

    # It has come back empty.
    changes(store)
    assert store.health().is_available
    assert RedisStore().read([SHOP]) == {SHOP: at(1)}
