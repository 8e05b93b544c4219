"""Listening on the PostgreSQL and Redis buses: delivery, lost connections, unresponsive servers, close and restart."""

import contextlib
import os
import queue
import resource
import socket
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from realtime.bus import eventstream, listening, postgres, redis
from realtime.bus.memory import MemoryBus
from tests.bus.conftest import PATIENCE, EventRecorder, Peer, Settings, state, text
from tests.support.patience import until
from tests.support.postgresql import PostgreSQL

Connects = queue.SimpleQueue


def test_bus__event_of_another_process__is_delivered(peer: Peer, recorder: EventRecorder) -> None:
    sent = state()
    peer.publish(text(sent))
    assert recorder.next() == eventstream.data(sent.updated_at)


def test_bus__started__reports_health(peer: Peer) -> None:
    health = peer.bus.health()
    assert (health.connected, health.degraded, health.reconnects, health.last_error) == (True, False, 0, "")
    assert health.since is not None
    until(lambda: peer.bus.health().beat)


def test_bus__started_twice__listens_once(peer: Peer, recorder: EventRecorder, connects: Connects) -> None:
    peer.bus.start()
    sent = state()
    peer.publish(text(sent))
    assert recorder.next() == eventstream.data(sent.updated_at)
    assert connects.empty()
    assert [thread.name for thread in threading.enumerate()].count(f"realtime-bus-{peer.bus.name}") == 1


def test_bus__invalid_messages__ignored_and_logged_once(
    peer: Peer, recorder: EventRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    sent = state()
    for foreign in ("rubbish", "[]", "null", "[" * 5_000, '{"channel": 1, "event_type": "", "data": ""}', "{}", "é"):
        peer.publish(foreign)
    peer.publish(text(sent))
    assert recorder.next() == eventstream.data(sent.updated_at)
    assert sum("bus_message_ignored" in record.getMessage() for record in caplog.records) == 1
    assert peer.bus.health().connected


def test_bus__connection_closed_by_the_server__reconnects_and_calls_on_connect(
    peer: Peer, recorder: EventRecorder, connects: Connects
) -> None:
    since = peer.bus.health().since
    peer.cut()
    connects.get(timeout=PATIENCE)
    health = peer.bus.health()
    assert (health.connected, health.reconnects) == (True, 1)
    assert health.since != since
    assert health.last_error
    sent = state()
    peer.publish(text(sent))
    assert recorder.next() == eventstream.data(sent.updated_at)


def test_bus__server_stopped__degraded_until_it_is_started_again(
    peer: Peer, recorder: EventRecorder, connects: Connects
) -> None:
    peer.stop()
    try:
        until(lambda: peer.bus.health().degraded)
        # Each attempt fails, and is followed by another one.
        failed = peer.bus.health().last_error
        assert failed
    finally:
        peer.start()
    connects.get(timeout=PATIENCE)
    assert not peer.bus.health().degraded
    sent = state()
    peer.publish(text(sent))
    assert recorder.next() == eventstream.data(sent.updated_at)


def test_bus__server_stops_answering__disconnects_and_reconnects(
    peer: Peer, connects: Connects, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_disconnected() -> bool:
        """Read from the log, because it may reconnect before ``health`` is read."""
        logged = [record.getMessage() for record in caplog.records]
        return any("bus_disconnected" in line and "has not answered" in line for line in logged)

    for module in (listening, redis):
        monkeypatch.setattr(module, "SILENCE_SECONDS", 0.1)
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    peer.freeze()
    try:
        until(is_disconnected)
    finally:
        # On a busy machine even a working server may take longer than 0.3 s.
        for module in (listening, redis):
            monkeypatch.setattr(module, "ANSWER_SECONDS", PATIENCE)
        peer.thaw()
    connects.get(timeout=PATIENCE)
    until(lambda: peer.bus.health().connected)


def test_bus__no_events_for_several_pings__connection_is_kept(
    peer: Peer, connects: Connects, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (listening, redis):
        monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)
    beats = set()
    until(lambda: beats.add(peer.bus.health().beat) or len(beats) > 6)
    assert peer.bus.health().connected
    assert peer.bus.health().reconnects == 0
    assert connects.empty()


def test_bus__closed__receives_nothing_and_can_be_started_again(
    peer: Peer, recorder: EventRecorder, connects: Connects
) -> None:
    peer.bus.close(PATIENCE)
    assert f"realtime-bus-{peer.bus.name}" not in [thread.name for thread in threading.enumerate()]
    health = peer.bus.health()
    assert (health.connected, health.degraded, health.since) == (False, False, None)
    # A thread that is ending cannot change the health.
    peer.bus.beat()
    assert peer.bus.health() == health
    peer.publish(text(state()))
    peer.bus.start()
    connects.get(timeout=PATIENCE)
    assert recorder.is_empty
    sent = state()
    peer.publish(text(sent))
    assert recorder.next() == eventstream.data(sent.updated_at)


def test_bus__closed_while_its_server_is_stopped__returns_soon(peer: Peer) -> None:
    peer.stop()
    try:
        until(lambda: peer.bus.health().degraded)
        began = time.monotonic()
        peer.bus.close(PATIENCE)
        assert time.monotonic() - began < PATIENCE / 2
    finally:
        peer.start()


@contextlib.contextmanager
def many_open_files(number: int) -> Iterator[None]:
    """Open this number of files, as a process with as many streams does."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2 * number), limits[1]))
    with contextlib.ExitStack() as files:
        for _ in range(number):
            files.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_bus__more_than_1023_open_files__listens(peer: Peer, recorder: EventRecorder, connects: Connects) -> None:
    """``select()`` rejects file descriptors above 1,023."""
    peer.bus.close(PATIENCE)
    with many_open_files(1_100):
        peer.bus.start()
        connects.get(timeout=PATIENCE)
        sent = state()
        peer.publish(text(sent))
        assert recorder.next() == eventstream.data(sent.updated_at)
        peer.bus.close(PATIENCE)


@pytest.mark.parametrize("peer", ["postgres"], indirect=True)
def test_postgres__ping_fails_with_an_error__disconnects_and_reconnects(
    peer: Peer, connects: Connects, monkeypatch: pytest.MonkeyPatch
) -> None:
    ping = postgres.PING
    monkeypatch.setattr(postgres, "PING", b"SELECT nonsense")
    until(lambda: peer.bus.health().degraded)
    assert "nonsense" in peer.bus.health().last_error
    monkeypatch.setattr(postgres, "PING", ping)
    connects.get(timeout=PATIENCE)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_listening_connection__notification_comes_with_an_answer__received_at_once(
    driver: str, postgresql: PostgreSQL, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are in the socket's buffer before the process reads them."""
    pytest.importorskip(driver)
    if driver == "psycopg2":
        monkeypatch.setattr(listening, "find_spec", lambda name: None)
    settings.REALTIME_BUS_DATABASE_URL = postgresql.url()
    with listening.connect("test") as connection, psycopg.connect(postgresql.url(), autocommit=True) as session:
        connection.query(b"LISTEN channel")
        with socket.socket(fileno=os.dup(connection._pgconn.socket)) as received:
            received.settimeout(PATIENCE)
            connection.send_query(b"SELECT 'answer'")
            until(lambda: b"answer" in received.recv(1_000, socket.MSG_PEEK))
            session.execute("SELECT pg_notify('channel', 'payload')")
            until(lambda: b"payload" in received.recv(1_000, socket.MSG_PEEK))
            received.setblocking(False)

        assert connection.wait() == b"answer"

        assert list(connection.notifications()) == [b"payload"]


def test_psycopg2__server_does_not_answer__error_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg2")
    from realtime.compat import psycopg2 as psycopg2_connection

    monkeypatch.setattr(psycopg2_connection, "CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        parameters = {"host": "127.0.0.1", "port": server.getsockname()[1], "user": "user", "dbname": "name"}
        with pytest.raises(TimeoutError, match=r"0\.1 s"):
            psycopg2_connection.connect(parameters)


def test_memory_bus__started__always_connected() -> None:
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


def test_redis__eventstream_redis_has_the_options_that_the_bus_sets__listens(
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
