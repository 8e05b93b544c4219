"""The faults of a relay: context managers, each of which lasts until its end."""

import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from signal import SIGCONT, SIGSTOP
from threading import Event
from typing import Any

from tests.faults.cluster import AHEAD_SECONDS, clock_ahead
from tests.faults.faults import Fault
from tests.faults.relays import Relays
from tests.support.relay import pairs
from tests.support.upstream import Answer, Environment, Handler, body, truncated

SLOW_SECONDS = 5.0


def _last(relays: Relays, least: float = 1.5, most: float = 3.0) -> None:
    """Let the fault last for a random time, during which changes are made."""
    time.sleep(relays.chance.uniform(least, most))


@contextmanager
def upstream_killed(relays: Relays) -> Iterator[None]:
    relays.process.process.kill()
    try:
        _last(relays, 3, 6)
        yield
    finally:
        relays.process.start()


@contextmanager
def upstream_stopped(relays: Relays) -> Iterator[None]:
    """The kernel accepts connections and requests, and the process does not answer."""
    relays.process.process.send(SIGSTOP)
    try:
        _last(relays, 3, 8)
        yield
    finally:
        relays.process.process.send(SIGCONT)


@contextmanager
def upstream_cut_off(relays: Relays) -> Iterator[None]:
    relays.valve.cut()
    try:
        _last(relays)
        yield
    finally:
        relays.valve.open()


@contextmanager
def upstream_slow(relays: Relays) -> Iterator[None]:
    """Each answer is the document at the arrival of its request, 5 s later."""
    healed = Event()

    def slow(handler: Handler) -> None:
        document = json.dumps(relays.shop.served()).encode()
        healed.wait(SLOW_SECONDS)
        handler.send(200, document)

    with _answering(relays, slow):
        _last(relays, 6, 12)
        yield
        healed.set()


@contextmanager
def upstream_fails(relays: Relays) -> Iterator[None]:
    with _answering(relays, 500):
        _last(relays)
        yield


@contextmanager
def upstream_old(relays: Relays) -> Iterator[None]:
    """The document at the start of the fault, as a cache or a replica has it."""
    with _answering(relays, body(json.dumps(relays.shop.document).encode())):
        _last(relays)
        yield


@contextmanager
def upstream_garbles(relays: Relays) -> Iterator[None]:
    newer = {"updated_at": "2027-01-01T00:00:00+00:00"}
    cut = truncated(relays.shop)
    contents = (b"", b"<html>", b"\xff", b"[]", b"{}", _document(relays.shop, **newer, feature_states={"a": 1}))

    def garble(handler: Handler) -> None:
        content = relays.chance.choice((None, *contents))
        answer = cut if content is None else body(content)
        assert callable(answer)
        answer(handler)

    with _answering(relays, garble):
        _last(relays)
        yield


@contextmanager
def upstream_confuses(relays: Relays) -> Iterator[None]:
    other = _document(relays.shop, updated_at="2027-01-01T00:00:00+00:00", api_key="another")
    with _answering(relays, body(other)):
        _last(relays)
        yield


@contextmanager
def key_rotated(relays: Relays) -> Iterator[None]:
    """The upstream replaces the server-side key. At the end the relays' files have the new one."""
    shop = relays.shop
    del relays.upstream.environments[shop.server_key]
    shop.server_key += "+"
    relays.upstream.environments[shop.server_key] = shop
    _last(relays)
    yield
    for index, server in enumerate(relays.servers):
        server.write(environment_key_pairs=pairs(shop))
        server.reload()
        server.process.wait_until(
            lambda server=server: server.request("GET", "environment-document/", shop.server_key).status_code == 200
        )
        relays.server_keys[index] = shop.server_key


@contextmanager
def relay_killed(relays: Relays) -> Iterator[None]:
    index = relays.chance.randrange(len(relays.servers))
    relays.servers[index].process.kill()
    _last(relays, 0.5, 1.5)
    relays.start(index)
    yield


@contextmanager
def relay_paused(relays: Relays) -> Iterator[None]:
    server = relays.chance.choice(relays.servers)
    server.process.send(SIGSTOP)
    _last(relays)
    server.process.send(SIGCONT)
    yield


@contextmanager
def relay_clock_ahead(relays: Relays) -> Iterator[None]:
    """A relay runs with a clock that is ahead, and afterwards with the right one."""
    with _clock(relays, AHEAD_SECONDS):
        yield


@contextmanager
def relay_clock_behind(relays: Relays) -> Iterator[None]:
    with _clock(relays, -AHEAD_SECONDS):
        yield


@contextmanager
def disk_full(relays: Relays) -> Iterator[None]:
    """Files cannot grow: writes fail, as on a full disk."""
    pids = [server.process.pid for server in relays.servers]
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard)) for pid in pids]
    try:
        _last(relays)
        yield
    finally:
        for pid, limits in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def redis_killed(relays: Relays) -> Iterator[None]:
    assert relays.redis is not None
    relays.redis.stop()
    try:
        _last(relays)
        yield
    finally:
        relays.redis.start()


@contextmanager
def redis_restarted(relays: Relays) -> Iterator[None]:
    """Redis is empty afterwards, and nothing changes until the relays are killed."""
    assert relays.redis is not None
    _last(relays, 0.3, 0.6)
    relays.redis.stop()
    relays.redis.start()
    yield


@contextmanager
def redis_paused(relays: Relays) -> Iterator[None]:
    assert relays.redis is not None
    relays.redis.process.send(SIGSTOP)
    try:
        time.sleep(10)
        yield
    finally:
        relays.redis.process.send(SIGCONT)


@contextmanager
def redis_full(relays: Relays) -> Iterator[None]:
    """Redis can be read, and refuses to store."""
    assert relays.redis is not None
    relays.redis.configure(maxmemory="1")
    try:
        _last(relays)
        yield
    finally:
        relays.redis.configure(maxmemory="0")


@contextmanager
def _answering(relays: Relays, answer: Answer) -> Iterator[None]:
    relays.shop.answer = answer
    try:
        yield
    finally:
        relays.shop.answer = None


@contextmanager
def _clock(relays: Relays, seconds: int) -> Iterator[None]:
    server, clock = relays.servers[0], clock_ahead(seconds)
    server.variables |= clock
    relays.restart(0)
    try:
        _last(relays)
        yield
    finally:
        for name in clock:
            del server.variables[name]
        relays.restart(0)


def _document(shop: Environment, **fields: Any) -> bytes:
    return json.dumps({**deepcopy(shop.document), **fields}).encode()


def _fault(name: str, act: Callable[[Relays], Any], **options: Any) -> Fault:
    return Fault(name, act, **options)


FAULTS = (
    _fault("upstream killed, and back", upstream_killed),
    _fault("upstream stopped (SIGSTOP), and back", upstream_stopped),
    _fault("upstream cut off", upstream_cut_off),
    _fault("upstream answers after 5 s", upstream_slow),
    _fault("upstream answers 500", upstream_fails),
    _fault("upstream answers with an older document", upstream_old),
    _fault("upstream answers with garbage", upstream_garbles),
    _fault("upstream answers with another environment's document", upstream_confuses),
    _fault("server-side key replaced upstream", key_rotated, fails_calls=(401,)),
    _fault("relay killed", relay_killed, breaks_streams=True),
    _fault("relay stopped (SIGSTOP), and back", relay_paused),
    _fault("relay's clock 5 s ahead", relay_clock_ahead, bus="directory", breaks_streams=True),
    _fault("relay's clock 5 s behind", relay_clock_behind, bus="directory", breaks_streams=True),
    _fault("disk full", disk_full, bus="directory", spares_database=True),
    _fault("Redis full", redis_full, bus="redis", spares_database=True),
    _fault("Redis killed, and back empty", redis_killed, bus="redis", spares_database=True),
    _fault("Redis restarted, empty", redis_restarted, bus="redis"),
    _fault("Redis paused for 10 s", redis_paused, bus="redis", spares_database=True),
)


def of(kind: str) -> tuple[Fault, ...]:
    """The faults that can happen with this storage."""
    return tuple(fault for fault in FAULTS if fault.bus in ("", kind))
