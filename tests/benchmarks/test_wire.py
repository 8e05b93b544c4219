"""The benchmarks' parsers reject protocol violations."""

import pytest

from benchmarks.wire import START, AnswerReader, Event, ProtocolError, State, StreamReader

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'event: environment_updated\ndata: {"updated_at": 1700000000.000001}\n\n'
VERSION = 1_700_000_000_000_001


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def read(*pieces: bytes) -> tuple[State, list[Event]]:
    reader, state, events = StreamReader(), START, []
    for piece in pieces:
        state, found = reader.read(state, piece)
        events += found
    return state, events


def test_stream_reader__bytes_one_by_one__same_as_together() -> None:
    # Given
    stream = HEAD + chunk(b":  \n: hello\n\n") + chunk(EVENT) + chunk(b":\n\n") + b"0\r\n\r\n"
    expected = State(in_body=True, chunked=True, ended=True), [Event("environment_updated", VERSION)]

    # When / Then
    assert read(stream) == expected
    assert read(*(stream[index : index + 1] for index in range(len(stream)))) == expected


def test_stream_reader__event_in_two_chunks__one_event() -> None:
    assert read(HEAD, chunk(EVENT[:30]), chunk(EVENT[30:]))[1] == [Event("environment_updated", VERSION)]


def test_stream_reader__body_without_chunks__parsed() -> None:
    # Given a response of nchan
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"

    # When / Then
    assert read(head + b": hi\n\n", b"id: 1:0\n" + EVENT)[1] == [Event("environment_updated", VERSION)]


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(HEAD.replace(b"200", b"503"), id="status"),
        pytest.param(HEAD.replace(b"text/event-stream", b"text/html"), id="type"),
        pytest.param(HEAD + b"zz\r\n", id="size of a chunk"),
        pytest.param(HEAD + b"2\r\n:\n\n\n", id="end of a chunk"),
        pytest.param(HEAD + chunk(b"event environment_updated\n\n"), id="line"),
        pytest.param(HEAD + chunk(b"event: environment_updated\n\n"), id="no data"),
        pytest.param(HEAD + chunk(b'data: {"updated_at": "soon"}\n\n'), id="version"),
        pytest.param(HEAD + chunk(EVENT[:-1]) + b"0\r\n\r\n", id="ends within an event"),
        pytest.param(HEAD + b"0\r\n\r\nmore", id="more after the end"),
    ],
)
def test_stream_reader__wrong_bytes__rejected(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(stream)


def test_answer_reader__response_in_parts__complete_with_version() -> None:
    # Given
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Flagsmith-Document-Updated-At: 1700000000.000001\r\n\r\n"
    reader = AnswerReader()

    # When
    read = reader.read(head + b"[]rest")

    # Then
    assert reader.read(head) is None
    assert reader.read(head + b"[") is None
    assert read is not None
    answer, rest = read
    assert (answer.status, answer.body, answer.version, rest) == (200, b"[]", VERSION, b"rest")


def test_answer_reader__no_length__rejected() -> None:
    with pytest.raises(ProtocolError):
        AnswerReader().read(b"HTTP/1.1 200 OK\r\n\r\n")
