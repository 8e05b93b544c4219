"""Refreshes and the storage of one process, without a server."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from realtime.bus import eventstream
from realtime.monitoring.shared_counters import counters
from realtime.relay import document, environments, relay_metrics
from realtime.relay.configuration import Configuration, KeyPair
from realtime.relay.directory import Directory
from realtime.relay.document import HeldDocument
from realtime.relay.environments import CONCURRENT_FETCHES, Environment, Environments
from realtime.relay.storage import Storage, StorageError, microseconds
from realtime.relay.upstream import Upstream as Client
from realtime.types import EnvironmentKey
from tests.relay.test_upstream import busy
from tests.support.patience import PATIENCE
from tests.support.upstream import DOCUMENT, START, Upstream, body, sample_document

KEY = EnvironmentKey("shop")

Make = Callable[..., Awaitable[Environments]]


@pytest.fixture
async def start(tmp_path: Path, upstream: Upstream, settings: Any, closed_runtime: None) -> AsyncIterator[Make]:
    """A function that starts the environments of a process: ``await start("shop", storage=...)``."""
    settings.REALTIME_RECONCILE_SECONDS = 0.05
    async with AsyncExitStack() as stack:

        async def start(*keys: str, storage: Storage | None = None) -> Environments:
            pairs = tuple(KeyPair(f"ser.{key}", key) for key in keys)
            configuration = Configuration(pairs, api_urls=(upstream.api_url,), api_poll_timeout_seconds=2)
            client = Client(configuration)
            stack.push_async_callback(client.close)
            made = Environments(configuration, client, storage or Directory(tmp_path))
            stack.push_async_callback(made.close)
            await made.start()
            return made

        yield start


async def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def stored_files(directory: Path) -> list[Path]:
    """The files of stored documents."""
    return list(directory.glob("*.document"))


def held(seconds: int) -> HeldDocument:
    content = {**sample_document(KEY), "updated_at": (START + timedelta(seconds=seconds)).isoformat()}
    held = document.receive(KEY, json.dumps(content).encode(), None)
    assert held is not None
    return held


async def test_upstream__many_environments_have_to_retry_later__others_are_fetched(
    start: Make, upstream: Upstream
) -> None:
    keys = [f"busy-{number}" for number in range(CONCURRENT_FETCHES)]
    for key in keys:
        upstream.add_environment(key).answer = busy
    upstream.add_environment("shop")
    made = await start(*keys, "shop")
    assert made.by_client_key[KEY].held is not None
    # Not before the time in Retry-After.
    assert len(upstream.received("environment-document/")) == len(keys) + 1


@pytest.fixture
async def held_twice(start: Make, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Environments:
    """The environments of a process that has held the versions ``START`` and, now, a second more."""
    monkeypatch.setattr(environments, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(environments, "MAX_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(environments, "SETTLE_SECONDS", 0.3)
    shop = upstream.add_environment(KEY)
    made = await start(KEY)
    made.notify(KEY, shop.change(), "post")
    await wait_until(lambda: version(made) == shop.version)
    return made


def version(made: Environments) -> datetime:
    """The version of the held document."""
    held = made.by_client_key[KEY].held
    assert held is not None
    return held.version


def serves(made: Environments, value: str) -> bool:
    """Whether the flag ``banner`` has this value."""
    held = made.by_client_key[KEY].held
    assert held is not None
    return value.encode() in held.flags(False).body


@pytest.mark.parametrize("is_newer", [True, False], ids=["newer post", "older post"])
async def test_post__unknown_older_version_in_the_document__accepted_after_a_time(
    held_twice: Environments, upstream: Upstream, is_newer: bool
) -> None:
    """A task of the upstream that runs late has written the time of an earlier change."""
    shop = upstream.environments["ser.shop"]
    held, back = shop.version, shop.version - timedelta(milliseconds=1)
    posted = shop.change(banner=(True, "changed"))
    shop.update(updated_at=back.isoformat())
    held_twice.notify(KEY, posted if is_newer else back, "post")

    await wait_until(lambda: serves(held_twice, "changed"))
    assert version(held_twice) == posted if is_newer else version(held_twice) > held
    # It was asked for several times, and is not any more.
    fetched = len(upstream.received(DOCUMENT))
    assert fetched > 3
    await asyncio.sleep(0.2)
    assert len(upstream.received(DOCUMENT)) == fetched


async def test_post__held_older_version_in_the_document__never_accepted(
    held_twice: Environments, upstream: Upstream
) -> None:
    """A replica of the upstream lags."""
    shop = upstream.environments["ser.shop"]
    newest = shop.change(banner=(True, "changed"))
    shop.update(updated_at=START.isoformat())
    held_twice.notify(KEY, newest, "post")
    began = time.monotonic()
    await wait_until(lambda: time.monotonic() > began + 1)
    assert not serves(held_twice, "changed")
    shop.update(updated_at=newest.isoformat())

    await wait_until(lambda: version(held_twice) == newest)


async def test_post__different_older_versions_in_the_documents__accepted_when_they_stay_the_same(
    held_twice: Environments, upstream: Upstream
) -> None:
    """Replicas of the upstream lag by different times."""
    shop = upstream.environments["ser.shop"]
    back = shop.version - timedelta(milliseconds=500)
    newest = shop.change(banner=(True, "changed"))
    held_twice.notify(KEY, newest, "post")
    shop.answers.extend(
        body(json.dumps({**shop.document, "updated_at": (back + timedelta(seconds=number / 100)).isoformat()}).encode())
        for number in range(20)
    )
    shop.update(updated_at=back.isoformat())
    await asyncio.to_thread(upstream.wait_for, DOCUMENT, 20)
    assert not serves(held_twice, "changed")

    await wait_until(lambda: version(held_twice) == newest)


async def test_polling__older_version_in_the_document__never_accepted(
    held_twice: Environments, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "GIVE_UP_SECONDS", 0)
    shop = upstream.environments["ser.shop"]
    shop.change(banner=(True, "changed"))
    shop.update(updated_at=(START - timedelta(days=1)).isoformat())
    shop.is_conditional = False
    held_twice.configuration = replace(held_twice.configuration, api_poll_frequency_seconds=1)
    older = number_of_fetches("older")
    held_twice.by_client_key[KEY].wake.set()
    await wait_until(lambda: number_of_fetches("older") >= older + 2)
    assert not serves(held_twice, "changed")


async def test_storage__document_is_deleted__stored_again(start: Make, upstream: Upstream, tmp_path: Path) -> None:
    upstream.add_environment("shop")
    await start("shop")
    await wait_until(lambda: len(stored_files(tmp_path)) == 1)
    (file,) = stored_files(tmp_path)
    content = file.read_bytes()
    file.unlink()
    await wait_until(file.exists)
    assert file.read_bytes() == content


async def test_storage__older_document_with_a_newer_version__held_one_stays(
    start: Make, upstream: Upstream, tmp_path: Path
) -> None:
    """A process whose clock was ahead has chosen the version of a change without one."""
    upstream.add_environment("shop").document["updated_at"] = (START + timedelta(seconds=1)).isoformat()
    made = await start("shop")
    environment: Environment = made.by_client_key[KEY]
    await wait_until(lambda: environment.held is not None)
    other, stored = Directory(tmp_path), held(0).stored
    other.store(KEY, stored._replace(version=START + timedelta(seconds=5)))
    # The time shows that it was read.
    other.confirm(KEY, time.time() + 1_000)
    await wait_until(lambda: environment.confirmed_at > time.time() + 500)
    assert environment.source_version == START + timedelta(seconds=1)


class Late(Directory):
    """A storage from which a process gets no documents while another thread has the lock."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.lock = threading.Lock()

    def newer(self, known: Any) -> Any:
        with self.lock:
            return super().newer(known)


def announced(made: Environments) -> datetime | None:
    """The version that streams get."""
    state = made.by_client_key[KEY].announced
    return state.updated_at if state is not None else None


@pytest.mark.parametrize("waits", [True, False], ids=["in time", "too late"])
async def test_event__other_process_has_the_document_later__waits_for_a_time(
    start: Make, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    monkeypatch.setattr(environments, "MAX_SHARE_SECONDS", PATIENCE if waits else 0.1)
    shop = upstream.add_environment(KEY)
    late = Late(tmp_path)
    first, second = await start(KEY), await start(KEY, storage=late)
    # Each process fetches once at its start, also with a stored document.
    await second.by_client_key[KEY].first_answer.wait()
    await asyncio.to_thread(late.lock.acquire)
    try:
        first.notify(KEY, shop.change(), "post")
        await wait_until(lambda: version(first) == shop.version)
        if waits:
            await asyncio.sleep(0.2)
            assert (announced(first), announced(second)) == (START, START)
        else:
            await wait_until(lambda: announced(first) == shop.version)
    finally:
        late.lock.release()
    await wait_until(lambda: announced(first) == announced(second) == shop.version)


class Hanging(Directory):
    """A storage that does not answer: each call fails after a time."""

    is_hanging = False

    def newer(self, known: Any) -> Any:
        self._hang()
        return super().newer(known)

    def claim(self, name: str, seconds: float) -> bool:
        self._hang()
        return super().claim(name, seconds)

    def store(self, key: EnvironmentKey, stored: Any) -> None:
        self._hang()
        super().store(key, stored)

    def _hang(self) -> None:
        if self.is_hanging:
            time.sleep(0.5)
            raise StorageError("no answer")


@pytest.mark.slow
async def test_storage__does_not_answer__many_changes_do_not_wait_for_it(
    start: Make, upstream: Upstream, tmp_path: Path
) -> None:
    storage = Hanging(tmp_path)
    keys = [f"environment-{number}" for number in range(40)]
    for key in keys:
        upstream.add_environment(key)
    made = await start(*keys, storage=storage)
    storage.is_hanging = True
    began = time.monotonic()
    for key in keys:
        shop = upstream.environments[f"ser.{key}"]
        made.notify(EnvironmentKey(key), shop.change(), "post")
    await wait_until(lambda: not any(environment.is_behind for environment in made.by_client_key.values()))
    # Two threads would take 0.5 s for each of four calls.
    assert time.monotonic() - began < 20
    storage.is_hanging = False
    newest = {key: each.source_version for key, each in made.by_client_key.items()}
    reader = Directory(tmp_path)
    await wait_until(
        lambda: {key: found.version for key, found in reader.newer(dict.fromkeys(newest, START)).items()} == newest
    )


def number_of_failures() -> int:
    """The failed accesses of the storage."""
    return int(relay_metrics.stored_failures.collect(counters.sums()).samples[0].value)


def number_of_fetches(result: str) -> int:
    return counters.sums()[relay_metrics.fetches[result].name]


def banner_of(stored: Path) -> str:
    """The value of the flag ``banner`` in a stored document."""
    (first, *_) = json.loads(stored.read_bytes().partition(b"\n")[2])["feature_states"]
    return str(first["feature_state_value"])


class FullDisk(Directory):
    """A storage with space for claims, and for documents only after a time."""

    failures = 0
    is_full = True

    def store(self, key: EnvironmentKey, stored: Any) -> None:
        if self.is_full:
            self.failures += 1
            raise StorageError("No space left on device")
        super().store(key, stored)


async def test_storage__disk_is_full__tried_again_until_the_document_is_stored(
    start: Make, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "STORE_AGAIN_SECONDS", 0.05)
    upstream.add_environment(KEY)
    storage = FullDisk(tmp_path)
    made = await start(KEY, storage=storage)
    await wait_until(lambda: storage.failures > 2)
    assert serves(made, "old")
    storage.is_full = False
    await wait_until(lambda: bool(stored_files(tmp_path)))


async def test_storage__away_and_back__serves_meanwhile_and_stores_the_newest(
    start: Make, upstream: Upstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = upstream.add_environment(KEY)
    directory, moved = tmp_path / "state", tmp_path / "moved"
    directory.mkdir()
    made = await start(KEY, storage=Directory(directory))
    directory.rename(moved)
    await wait_until(lambda: "relay_storage_unavailable" in caplog.text)
    made.notify(KEY, shop.change(banner=(True, "meanwhile")), "post")
    await wait_until(lambda: serves(made, "meanwhile"))
    failures = number_of_failures()
    await wait_until(lambda: number_of_failures() > failures + 1)
    moved.rename(directory)

    await wait_until(lambda: "relay_storage_available" in caplog.text)
    (file,) = stored_files(directory)
    await wait_until(lambda: banner_of(file) == "meanwhile")
    assert sum("relay_storage_unavailable" in line for line in caplog.messages) == 1


async def test_storage__document_cannot_be_read__storage_is_unavailable_until_it_can(
    start: Make, upstream: Upstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.add_environment(KEY)
    made = await start(KEY)
    await wait_until(lambda: bool(stored_files(tmp_path)))
    (file,) = stored_files(tmp_path)
    # A directory in place of the file.
    file.rename(tmp_path / "moved")
    file.mkdir()
    failures = number_of_failures()
    await wait_until(lambda: number_of_failures() > failures + 1)
    assert "relay_storage_unavailable" in caplog.text
    assert serves(made, "old")
    file.rmdir()
    await wait_until(file.is_file)


async def test_storage__document_of_another_environment__refused_and_fetched(
    start: Make, upstream: Upstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.add_environment("other")
    Directory(tmp_path).store(EnvironmentKey("other"), held(0).stored)
    made = await start("other")

    environment = made.by_client_key[EnvironmentKey("other")]
    assert environment.held is not None
    assert json.loads(environment.held.document_body)["api_key"] == "other"
    assert "stored_document_refused" in caplog.text


async def test_storage__other_process_has_stored_the_posted_version__not_fetched_again(
    start: Make, upstream: Upstream, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The second process does not look by itself.
    settings.REALTIME_RECONCILE_SECONDS = 3_600
    monkeypatch.setattr(environments, "NUMBER_SECONDS", 3_600)
    monkeypatch.setattr(environments, "MAX_SHARE_SECONDS", 0.01)
    shop = upstream.add_environment(KEY)
    first, second = await start(KEY), await start(KEY)
    await second.by_client_key[KEY].first_answer.wait()
    shop.change(banner=(True, "changed"))
    first.notify(KEY, shop.version, "post")
    await wait_until(lambda: announced(first) == shop.version)
    fetched = len(upstream.received(DOCUMENT))
    assert not serves(second, "changed")
    second.notify(KEY, shop.version, "post")

    await wait_until(lambda: serves(second, "changed"))
    assert len(upstream.received(DOCUMENT)) == fetched


async def test_document__other_process_stores_a_newer_one_meanwhile__newer_one_stays(
    start: Make, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = upstream.add_environment(KEY)
    made = await start(KEY)
    newest = held(5).stored
    receive, received, released = document.receive, threading.Event(), threading.Event()

    def slow(*arguments: Any, **options: Any) -> HeldDocument | None:
        result = receive(*arguments, **options)
        received.set()
        released.wait(PATIENCE)
        return result

    monkeypatch.setattr(document, "receive", slow)
    made.notify(KEY, shop.change(banner=(True, "changed")), "post")
    await asyncio.to_thread(received.wait, PATIENCE)
    Directory(tmp_path).store(KEY, newest)
    await wait_until(lambda: version(made) == newest.version)
    before = number_of_fetches("older")
    released.set()

    await wait_until(lambda: number_of_fetches("older") == before + 1)
    assert (version(made), serves(made, "changed")) == (newest.version, False)


async def test_stream__older_version_or_unknown_environment__nothing_fetched(start: Make, upstream: Upstream) -> None:
    upstream.add_environment(KEY)
    made = await start(KEY)
    fetched = len(upstream.received(DOCUMENT))
    made.notify(KEY, START - timedelta(seconds=1), "stream")
    made.notify(EnvironmentKey("unknown"), START + timedelta(seconds=1), "stream")
    eventstream.environment_received.send(None, key=EnvironmentKey("unknown"))
    await asyncio.sleep(0.2)

    assert len(upstream.received(DOCUMENT)) == fetched


async def test_refresh__bug__logged_and_the_version_is_fetched(
    start: Make, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop = upstream.add_environment(KEY)
    made = await start(KEY)

    async def failing(*arguments: object) -> None:
        raise RuntimeError("bug")

    with monkeypatch.context() as patch:
        patch.setattr(made.upstream, "document", failing)
        made.notify(KEY, shop.change(), "post")
        await wait_until(lambda: "relay_refresh_failed" in caplog.text)
    await wait_until(lambda: version(made) == shop.version)


async def test_event__environment_is_removed_meanwhile__none(
    start: Make, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "MAX_SHARE_SECONDS", 0.2)
    shop = upstream.add_environment(KEY)
    made = await start(KEY)
    environment = made.by_client_key[KEY]
    # Another process, which does not hold the new version.
    Directory(tmp_path).hold({KEY: microseconds(START)}, is_all=True)
    made.notify(KEY, shop.change(), "post")
    await wait_until(lambda: version(made) == shop.version)
    made.set_pairs(())
    await asyncio.sleep(0.4)

    assert environment.announced is not None
    assert environment.announced.updated_at == START


@pytest.mark.parametrize("steps", range(4))
async def test_close__version_is_posted_at_the_same_moment__ends(
    upstream: Upstream, tmp_path: Path, steps: int, closed_runtime: None
) -> None:
    shop = upstream.add_environment(KEY)
    configuration = Configuration((KeyPair(shop.server_key, KEY),), api_urls=(upstream.api_url,))
    client = Client(configuration)
    made = Environments(configuration, client, Directory(tmp_path))
    await made.start()
    # It waits for the next version.
    await asyncio.sleep(0.02)
    made.notify(KEY, shop.change(), "post")
    for _ in range(steps):
        # The event loop is a step further.
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await made.close()
    await client.close()
