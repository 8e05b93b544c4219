"""The storages of documents: the same rules for a directory and for Redis."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client

from realtime.relay import directory, document, redis_storage
from realtime.relay.directory import Directory
from realtime.relay.document import HeldDocument, Stored
from realtime.relay.redis_storage import RedisStorage
from realtime.relay.storage import Held, Storage, StorageError
from realtime.serving import redis_urls
from realtime.types import EPOCH, TICK, EnvironmentKey
from tests.support import programs
from tests.support.redis import Redis
from tests.support.upstream import START, sample_document

KEY, OTHER = EnvironmentKey("shop"), EnvironmentKey("other")

NewStorage = Callable[[], Storage]


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with Redis() as redis:
        yield redis


@pytest.fixture(params=["directory", "redis"])
def new_storage(request: pytest.FixtureRequest, tmp_path: Path, settings: Any) -> NewStorage:
    """A function that makes the storage of one more process."""
    if request.param == "directory":
        return lambda: Directory(tmp_path)
    redis: Redis = request.getfixturevalue("redis")
    settings.EVENTSTREAM_REDIS = redis_urls.arguments(redis.url)
    Client.from_url(redis.url).flushall()
    return RedisStorage


def held(seconds: int = 0) -> HeldDocument:
    content = {**sample_document(KEY), "updated_at": (START + timedelta(seconds=seconds)).isoformat()}
    held = document.receive(KEY, json.dumps(content).encode(), None)
    assert held is not None
    return held


def stored_in(storage: Storage) -> Stored | None:
    found = storage.newer({KEY: EPOCH}).get(KEY)
    return found.stored if found is not None else None


def test_store__another_process__finds_it_if_it_is_newer(new_storage: NewStorage) -> None:
    first, second = new_storage(), new_storage()
    assert second.newer({KEY: EPOCH, OTHER: EPOCH}) == {}
    assert second.newer({}) == {}
    stored = held().stored
    first.store(KEY, stored)

    found = second.newer({KEY: EPOCH, OTHER: EPOCH})
    assert list(found) == [KEY]
    assert found[KEY].stored == stored
    assert found[KEY].confirmed_at == pytest.approx(time.time(), abs=5)
    assert second.newer({KEY: stored.version - TICK})[KEY].stored in (stored, None)
    assert second.newer({KEY: stored.version})[KEY].stored is None


def test_store__older_document__newer_one_stays(new_storage: NewStorage) -> None:
    storage = new_storage()
    storage.store(KEY, held(5).stored)
    storage.store(KEY, held().stored)

    found = stored_in(new_storage())
    assert found is not None
    assert found.version == START + timedelta(seconds=5)


def test_directory__held_no_more__documents_are_removed(tmp_path: Path) -> None:
    storage = Directory(tmp_path)
    for key in (KEY, OTHER):
        storage.store(key, held().stored)
    storage.hold({KEY: 0}, is_all=False)
    storage.hold({OTHER: 0}, is_all=True)

    assert list(Directory(tmp_path).newer({KEY: EPOCH, OTHER: EPOCH})) == [OTHER]


def test_redis__not_held__documents_of_relays_with_other_keys_stay(redis: Redis, settings: Any) -> None:
    settings.EVENTSTREAM_REDIS = redis_urls.arguments(redis.url)
    storage = RedisStorage()
    storage.store(KEY, held().stored)
    storage.hold({OTHER: 0}, is_all=True)

    assert stored_in(storage) is not None


def test_confirm__later__time_is_found(new_storage: NewStorage) -> None:
    storage = new_storage()
    storage.confirm(OTHER, 1_000.0)
    storage.store(KEY, held().stored)
    storage.confirm(KEY, 2_000_000_000.5)

    found = new_storage().newer({KEY: START})[KEY]
    assert (found.stored, found.confirmed_at) == (None, 2_000_000_000.5)


def test_processes__other_ones_hold_documents__their_versions(new_storage: NewStorage) -> None:
    first, second, third = new_storage(), new_storage(), new_storage()

    def others() -> list[Held]:
        return sorted(first.held_by_others([KEY, OTHER]), key=lambda held: held[KEY])

    assert others() == []
    first.hold({KEY: 0, OTHER: 0}, is_all=True)
    second.hold({KEY: 0}, is_all=True)
    third.hold({KEY: 6}, is_all=True)

    assert others() == [{KEY: 0}, {KEY: 6}]
    second.hold({KEY: 7, OTHER: 6}, is_all=False)
    assert others() == [{KEY: 6}, {KEY: 7, OTHER: 6}]
    second.hold({KEY: 7}, is_all=True)
    third.leave()
    assert others() == [{KEY: 7}]


def test_processes__ended_without_leaving__versions_are_gone_after_a_time(
    new_storage: NewStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (directory, redis_storage):
        monkeypatch.setattr(module, "PROCESS_SECONDS", 0.2)
    first, second = new_storage(), new_storage()
    second.hold({KEY: 0}, is_all=True)
    deadline = time.monotonic() + 10
    while any(first.held_by_others([KEY])):
        assert time.monotonic() < deadline
    # It was not seen for a time.
    monkeypatch.undo()
    second.hold({KEY: 0}, is_all=True)
    assert first.held_by_others([KEY]) == [{KEY: 0}]


def test_directory__damaged_file_of_a_process__holds_nothing(tmp_path: Path) -> None:
    first, second = Directory(tmp_path), Directory(tmp_path)
    second.hold({KEY: 0}, is_all=True)
    (file,) = tmp_path.glob("*.process")
    file.write_text("{")
    assert not any(first.held_by_others([KEY]))


def test_number_stored__document_of_another_process__rises(new_storage: NewStorage) -> None:
    first, second = new_storage(), new_storage()
    before = first.number_stored()
    second.store(KEY, held().stored)
    assert first.number_stored() == before + first.is_polled


def test_claim__claimed__only_after_release_or_its_time(new_storage: NewStorage) -> None:
    first, second = new_storage(), new_storage()

    assert first.claim("shop", 60)
    assert not second.claim("shop", 60)
    assert second.claim("other", 60)
    first.release("shop")
    assert second.claim("shop", 0.05)
    deadline = time.monotonic() + 10
    while not first.claim("shop", 60):
        assert time.monotonic() < deadline


def test_directory__files__only_for_their_user(tmp_path: Path) -> None:
    Directory(tmp_path).store(KEY, held().stored)

    (file,) = tmp_path.glob("*.document")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"", b"{", b"[]\nx", b'{"version": "2026-01-01T00:00:00"}\n', b'{"version": 1}\n'])
def test_directory__damaged_file__replaced_by_the_next_document(tmp_path: Path, damage: bytes) -> None:
    storage = Directory(tmp_path)
    storage.store(KEY, held().stored)
    (file,) = tmp_path.glob("*.document")
    file.write_bytes(damage)

    assert stored_in(storage) is None
    stored = held().stored
    storage.store(KEY, stored)
    assert stored_in(Directory(tmp_path)) == stored


def test_directory__truncated_document_of_the_same_version__replaced(tmp_path: Path) -> None:
    storage, stored = Directory(tmp_path), held().stored
    storage.store(KEY, stored)
    (file,) = tmp_path.glob("*.document")
    file.write_bytes(file.read_bytes()[:-5])
    assert stored_in(storage) is None

    storage.store(KEY, stored)
    assert stored_in(storage) == stored


def test_directory__cannot_be_written__storage_error_and_no_file_left(tmp_path: Path) -> None:
    storage = Directory(tmp_path / "missing")

    assert storage.newer({KEY: EPOCH}) == {}
    with pytest.raises(StorageError):
        storage.store(KEY, held().stored)
    with pytest.raises(StorageError):
        storage.claim("shop", 1)
    # A directory in place of the file.
    storage = Directory(tmp_path)
    storage.store(KEY, held().stored)
    (file,) = tmp_path.glob("*.document")
    file.unlink()
    file.mkdir()
    with pytest.raises(StorageError):
        storage.newer({KEY: EPOCH})
    assert not list(tmp_path.glob(".*"))


def test_directory__file_cannot_be_replaced__storage_error_and_no_file_left(tmp_path: Path) -> None:
    storage = Directory(tmp_path)
    storage.hold({KEY: 0}, is_all=True)
    (file,) = tmp_path.glob("*.process")
    # A directory in place of the file.
    file.unlink()
    file.mkdir()
    for _ in range(2):
        # Also with the versions that could not be written.
        with pytest.raises(StorageError):
            storage.hold({KEY: 6}, is_all=True)

    assert list(tmp_path.iterdir()) == [file]


def test_redis__away_and_damaged__storage_error_and_none(redis: Redis, settings: Any) -> None:
    settings.EVENTSTREAM_REDIS = redis_urls.arguments(redis.url)
    storage = RedisStorage()
    storage.store(KEY, held().stored)
    Client.from_url(redis.url).hset(redis_storage.DOCUMENTS, KEY, "damaged")
    assert stored_in(RedisStorage()) is None
    redis.stop()
    try:
        with pytest.raises(StorageError):
            storage.newer({KEY: EPOCH})
    finally:
        redis.start()


def test_redis__rights_of_the_documentation__are_enough(redis: Redis, settings: Any) -> None:
    text = (programs.ROOT / "docs" / "settings.md").read_text()
    (drop_in,) = re.findall(r"user flagsmith on >password(.*?)```", text, re.DOTALL)
    (relay,) = re.findall(r"rights, besides those of the \[drop-in server\]\(#drop-in-server\): `(.*?)`", text)
    rights = f"{drop_in} {relay}".split()
    Client.from_url(redis.url).execute_command("ACL", "SETUSER", "flagsmith", "reset", "on", ">password", *rights)
    arguments = redis_urls.arguments(redis.url)
    settings.EVENTSTREAM_REDIS = {**arguments, "username": "flagsmith", "password": "password"}
    first, second = RedisStorage(), RedisStorage()

    first.store(KEY, held().stored)
    first.confirm(KEY, 1_000.0)
    assert stored_in(second) is not None
    assert first.claim("shop", 60)
    first.release("shop")
    for storage in (first, second):
        storage.hold({KEY: 0}, is_all=True)
    assert first.held_by_others([KEY]) == [{KEY: 0}]
    second.leave()
