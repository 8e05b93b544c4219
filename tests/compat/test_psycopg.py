"""Contracts of psycopg's and psycopg2's parts that ``realtime/compat/`` and ``realtime/bus/listening.py`` use."""

import socket
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from psycopg import waiting
from psycopg.pq import PGconn, PGresult

from tests.compat.parts import parameters


def test_connection__wait__gets_a_generator() -> None:
    assert parameters(psycopg.Connection.wait)[:1] == ["gen"]


def test_wait__no_data__the_generator_is_resumed_with_nothing() -> None:
    def generator() -> Generator[Any, Any, list[Any]]:
        first = yield waiting.Wait.R
        ours.send(b"x")
        return [first, (yield waiting.Wait.R)]

    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert waiting.wait(generator(), theirs.fileno(), interval=0.01) == [waiting.Ready.NONE, waiting.Ready.R]
    assert not waiting.Ready.NONE


@pytest.mark.parametrize(
    "name", ["socket", "send_query", "flush", "consume_input", "is_busy", "get_result", "notifies"]
)
def test_pgconn__name__is_there(name: str) -> None:
    assert hasattr(PGconn, name)


@pytest.mark.parametrize("name", ["error_message", "get_value", "ntuples"])
def test_pgresult__name__is_there(name: str) -> None:
    assert hasattr(PGresult, name)


@pytest.mark.parametrize("name", ["fileno", "poll", "notifies", "cursor", "close"])
def test_psycopg2__name__is_there(name: str) -> None:
    assert hasattr(pytest.importorskip("psycopg2").extensions.connection, name)
