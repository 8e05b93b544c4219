"""What every bus does that listens on a connection, whatever happens to that."""

import contextlib
import os
import queue
import resource
import threading
import time
from collections.abc import Iterator

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from realtime.bus import eventstream, postgres, redis
from realtime.bus.memory import MemoryBus
from tests.bus.conftest import PATIENCE, Ear, Other, Settings, state, text, until

Connects = queue.SimpleQueue


def test_bus__said_by_somebody_else__is_delivered_here(other: Other, ear: Ear) -> None:
    said = state()
    other.say(text(said))
    assert ear.next() == eventstream.data(said.updated_at)


def test_bus__started__says_what_it_is_and_since_when(other: Other) -> None:
    health = other.bus.health()
    assert (health.connected, health.degraded, health.reconnects, health.last_error) == (True, False, 0, "")
    assert health.since is not None
    until(lambda: other.bus.health().beat)


def test_bus__started_twice__listens_once(other: Other, ear: Ear, connects: Connects) -> None:
    other.bus.start()
    said = state()
    other.say(text(said))
    assert ear.next() == eventstream.data(said.updated_at)
    assert connects.empty()
    assert [thread.name for thread in threading.enumerate()].count(f"realtime-bus-{other.bus.name}") == 1


def test_bus__what_is_no_event__is_passed_over_with_one_line_in_the_log(
    other: Other, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    said = state()
    for foreign in ("rubbish", "[]", "null", "[" * 5_000, '{"channel": 1, "event_type": "", "data": ""}', "{}", "é"):
        other.say(foreign)
    other.say(text(said))
    assert ear.next() == eventstream.data(said.updated_at)
    assert sum("bus_message_ignored" in record.getMessage() for record in caplog.records) == 1
    assert other.bus.health().connected


def test_bus__connection_ended_from_outside__listens_anew_and_says_that_it_missed_something(
    other: Other, ear: Ear, connects: Connects
) -> None:
    since = other.bus.health().since
    other.cut()
    connects.get(timeout=PATIENCE)
    health = other.bus.health()
    assert (health.connected, health.reconnects) == (True, 1)
    assert health.since != since
    assert health.last_error
    said = state()
    other.say(text(said))
    assert ear.next() == eventstream.data(said.updated_at)


def test_bus__server_away__says_so_until_it_is_back(other: Other, ear: Ear, connects: Connects) -> None:
    other.stop()
    try:
        until(lambda: other.bus.health().degraded)
        # Each attempt fails, and none is the last.
        failed = other.bus.health().last_error
        assert failed
    finally:
        other.start()
    connects.get(timeout=PATIENCE)
    assert not other.bus.health().degraded
    said = state()
    other.say(text(said))
    assert ear.next() == eventstream.data(said.updated_at)


def test_bus__server_that_no_longer_answers__is_noticed(
    other: Other, connects: Connects, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_noticed() -> bool:
        """By the log: where it can connect anew at once, nobody may see that it was away."""
        logged = [record.getMessage() for record in caplog.records]
        return any("bus_disconnected" in line and "has not answered" in line for line in logged)

    for module in (postgres, redis):
        monkeypatch.setattr(module, "SILENCE_SECONDS", 0.1)
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    other.freeze()
    try:
        until(is_noticed)
    finally:
        # A busy machine does not answer in so short a time, even when all is well.
        for module in (postgres, redis):
            monkeypatch.setattr(module, "ANSWER_SECONDS", PATIENCE)
        other.thaw()
    connects.get(timeout=PATIENCE)
    until(lambda: other.bus.health().connected)


def test_bus__silence_that_is_no_failure__the_connection_is_kept(
    other: Other, connects: Connects, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (postgres, redis):
        monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)
    beats = set()
    until(lambda: beats.add(other.bus.health().beat) or len(beats) > 6)
    assert other.bus.health().connected
    assert other.bus.health().reconnects == 0
    assert connects.empty()


def test_bus__closed__hears_nothing_and_can_be_started_again(other: Other, ear: Ear, connects: Connects) -> None:
    other.bus.close(PATIENCE)
    assert f"realtime-bus-{other.bus.name}" not in [thread.name for thread in threading.enumerate()]
    health = other.bus.health()
    assert (health.connected, health.degraded, health.since) == (False, False, None)
    # A thread that comes too late has no say any more.
    other.bus.beat()
    assert other.bus.health() == health
    other.say(text(state()))
    other.bus.start()
    connects.get(timeout=PATIENCE)
    assert ear.is_quiet
    said = state()
    other.say(text(said))
    assert ear.next() == eventstream.data(said.updated_at)


def test_bus__closed_while_its_server_is_away__ends(other: Other) -> None:
    other.stop()
    try:
        until(lambda: other.bus.health().degraded)
        began = time.monotonic()
        other.bus.close(PATIENCE)
        assert time.monotonic() - began < PATIENCE / 2
    finally:
        other.start()


@contextlib.contextmanager
def many_open_files(number: int) -> Iterator[None]:
    """As in a process with as many streams."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2 * number), limits[1]))
    with contextlib.ExitStack() as files:
        for _ in range(number):
            files.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_bus__process_with_more_than_a_thousand_streams__listens_anew(
    other: Other, ear: Ear, connects: Connects
) -> None:
    """select() knows no file with a number above 1,023."""
    other.bus.close(PATIENCE)
    with many_open_files(1_100):
        other.bus.start()
        connects.get(timeout=PATIENCE)
        said = state()
        other.say(text(said))
        assert ear.next() == eventstream.data(said.updated_at)
        other.bus.close(PATIENCE)


@pytest.mark.parametrize("other", ["postgres"], indirect=True)
def test_postgres__question_that_is_answered_with_an_error__is_a_failure(
    other: Other, connects: Connects, monkeypatch: pytest.MonkeyPatch
) -> None:
    ping = postgres.PING
    monkeypatch.setattr(postgres, "PING", b"SELECT nonsense")
    until(lambda: other.bus.health().degraded)
    assert "nonsense" in other.bus.health().last_error
    monkeypatch.setattr(postgres, "PING", ping)
    connects.get(timeout=PATIENCE)


def test_memory__is_never_away() -> None:
    bus = MemoryBus(lambda: None)
    assert bus.health().since is None
    bus.write([state()], "default")
    bus.send([state()])
    bus.start()
    health = bus.health()
    assert (health.name, health.connected, health.degraded, health.beat) == ("memory", True, False, None)
    assert health.since is not None
    bus.close()
    assert bus.health().since is None


def test_redis__setting_that_says_what_we_say_too__listens(
    redis_bus: redis.RedisBus, connects: Connects, settings: Settings
) -> None:
    settings.EVENTSTREAM_REDIS = {
        **settings.EVENTSTREAM_REDIS,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 3),
    }
    redis_bus.start()
    connects.get(timeout=PATIENCE)
    assert redis_bus.health().connected
