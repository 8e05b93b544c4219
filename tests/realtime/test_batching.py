"""Batches: one call for all requests that are submitted while another call runs."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.db import DatabaseError

from environments.models import Environment
from realtime.batching import Batcher, DatabaseThread
from realtime.delivery import hub
from realtime.hosts import EmbeddedHost
from realtime.types import EnvironmentKey
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

UNKNOWN_KEY = EnvironmentKey("unknown-key")


@contextmanager
def blocked_reads(failure: Exception | None = None) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Let reads of states block until ``released`` is set, and then raise ``failure`` if there is one."""
    real, began, released = EmbeddedHost.states, threading.Event(), threading.Event()

    def blocked(host: EmbeddedHost, keys: Any) -> Any:
        began.set()
        assert released.wait(PATIENCE)
        if failure is not None:
            raise failure
        return real(host, keys)

    with mock.patch.object(EmbeddedHost, "states", blocked):
        yield began, released


async def test_batch__one_request_cancelled_while_it_runs__others_get_their_results(
    streams: hub.Hub, environment: Environment
) -> None:
    key = EnvironmentKey(environment.api_key)
    with blocked_reads() as (began, released):
        cancelled, other = streams.reader.submit(UNKNOWN_KEY), streams.reader.submit(key)
        await asyncio.to_thread(began.wait, PATIENCE)
        cancelled.cancel()
        released.set()
        state = await asyncio.wait_for(other, PATIENCE)
    assert state is not None
    assert state.key == key


async def test_batch__one_request_cancelled_and_the_call_fails__others_get_the_exception(
    streams: hub.Hub, environment: Environment
) -> None:
    key = EnvironmentKey(environment.api_key)
    with blocked_reads(DatabaseError("gone")) as (began, released):
        cancelled, other = streams.reader.submit(UNKNOWN_KEY), streams.reader.submit(key)
        await asyncio.to_thread(began.wait, PATIENCE)
        cancelled.cancel()
        released.set()
        with pytest.raises(DatabaseError, match="gone"):
            await asyncio.wait_for(other, PATIENCE)
    # Later requests succeed.
    assert await streams.reader.result(key) is not None


async def test_batch__request_cancelled_before_its_batch_begins__equal_request_gets_a_result(
    streams: hub.Hub, environment: Environment
) -> None:
    key = EnvironmentKey(environment.api_key)
    with blocked_reads() as (began, released):
        running = streams.reader.submit(UNKNOWN_KEY)
        await asyncio.to_thread(began.wait, PATIENCE)
        streams.reader.submit(key).cancel()
        other = streams.reader.submit(key)
        released.set()
        assert await asyncio.wait_for(other, PATIENCE) is not None
        await running


async def test_batch__many_requests_of_one_group__other_groups_are_in_the_next_batch() -> None:
    began, released = threading.Event(), threading.Event()
    batches: list[list[str]] = []

    def process(requests: list[str]) -> dict[str, str]:
        batches.append(requests)
        began.set()
        assert released.wait(PATIENCE)
        return {request: request.upper() for request in requests}

    thread = DatabaseThread("test")
    batcher = Batcher[str, str](thread, process, min_interval=0, max_batch=2, group=lambda request: request[0])
    first = batcher.submit("a0")
    await asyncio.to_thread(began.wait, PATIENCE)
    answers = [batcher.submit(request) for request in ("a1", "a2", "a3", "a4", "b1", "b2", "c1")]
    released.set()
    assert await asyncio.gather(first, *answers) == ["A0", "A1", "A2", "A3", "A4", "B1", "B2", "C1"]
    await thread.close()
    assert batches == [["a0"], ["a1", "b1"], ["c1", "a2"], ["b2", "a3"], ["a4"]]


async def test_batch__no_result_within_the_timeout__timeout_error_and_later_requests_get_results() -> None:
    released = threading.Event()

    def process(requests: list[str]) -> dict[str, str]:
        assert released.wait(PATIENCE)
        return {request: request.upper() for request in requests}

    thread = DatabaseThread("test")
    batcher = Batcher(thread, process, timeout=0.05)
    first = batcher.submit("first")
    second = batcher.submit("second")
    for late in (first, second):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(late), PATIENCE)
    released.set()
    batcher = Batcher(thread, process, timeout=PATIENCE)
    assert await batcher.submit("third") == "THIRD"
    await thread.close()
