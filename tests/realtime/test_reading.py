"""Batched reads: one read for all questions that arrive while another read runs."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.db import DatabaseError

from environments.models import Environment
from realtime.delivery import hub
from realtime.hosts import EmbeddedHost
from realtime.shared_reads import ReadingThread, SharedReads
from realtime.types import EnvironmentKey
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

NOBODYS = EnvironmentKey("nobody's")


@contextmanager
def held_reads(failure: Exception | None = None) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Reads of states that begin, and end only when they are released, with this failure if there is one."""
    real, began, released = EmbeddedHost.states, threading.Event(), threading.Event()

    def held(host: EmbeddedHost, keys: Any) -> Any:
        began.set()
        assert released.wait(PATIENCE)
        if failure is not None:
            raise failure
        return real(host, keys)

    with mock.patch.object(EmbeddedHost, "states", held):
        yield began, released


async def test_shared_read__one_question_is_cancelled_while_it_runs__the_others_are_answered(
    streams: hub.Hub, environment: Environment
) -> None:
    key = EnvironmentKey(environment.api_key)
    with held_reads() as (began, released):
        cancelled, other = streams.reader.ask(NOBODYS), streams.reader.ask(key)
        await asyncio.to_thread(began.wait, PATIENCE)
        cancelled.cancel()
        released.set()
        state = await asyncio.wait_for(other, PATIENCE)
    assert state is not None
    assert state.key == key


async def test_shared_read__one_question_is_cancelled_and_the_read_fails__the_others_get_the_failure(
    streams: hub.Hub, environment: Environment
) -> None:
    key = EnvironmentKey(environment.api_key)
    with held_reads(DatabaseError("gone")) as (began, released):
        cancelled, other = streams.reader.ask(NOBODYS), streams.reader.ask(key)
        await asyncio.to_thread(began.wait, PATIENCE)
        cancelled.cancel()
        released.set()
        with pytest.raises(DatabaseError, match="gone"):
            await asyncio.wait_for(other, PATIENCE)
    # And those that come later are answered.
    assert await streams.reader.state(key) is not None


async def test_shared_read__question_that_was_cancelled_before_its_read_began__who_asks_the_same_is_answered(
    streams: hub.Hub, environment: Environment
) -> None:
    key = EnvironmentKey(environment.api_key)
    with held_reads() as (began, released):
        running = streams.reader.ask(NOBODYS)
        await asyncio.to_thread(began.wait, PATIENCE)
        streams.reader.ask(key).cancel()
        other = streams.reader.ask(key)
        released.set()
        assert await asyncio.wait_for(other, PATIENCE) is not None
        await running


async def test_shared_read__many_questions_of_one_group__another_group_has_its_turn_in_the_next_read() -> None:
    began, released = threading.Event(), threading.Event()
    reads: list[list[str]] = []

    def read(questions: list[str]) -> dict[str, str]:
        reads.append(questions)
        began.set()
        assert released.wait(PATIENCE)
        return {question: question.upper() for question in questions}

    thread = ReadingThread("test")
    shared = SharedReads[str, str](thread, read, gather=0, most=2, group=lambda question: question[0])
    first = shared.ask("a0")
    await asyncio.to_thread(began.wait, PATIENCE)
    answers = [shared.ask(question) for question in ("a1", "a2", "a3", "a4", "b1", "b2", "c1")]
    released.set()
    assert await asyncio.gather(first, *answers) == ["A0", "A1", "A2", "A3", "A4", "B1", "B2", "C1"]
    await thread.close()
    assert reads == [["a0"], ["a1", "b1"], ["c1", "a2"], ["b2", "a3"], ["a4"]]
