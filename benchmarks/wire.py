"""Strict parsers of streams (HTTP/1.1, chunks, events) and of plain responses.

A stream's parser is a pure function of its state and the received bytes. So equal input of ten thousand streams is
parsed once, and only compared for the others.
"""

import gzip
import json
import re
from decimal import Decimal
from typing import NamedTuple

VERSION_HEADER = b"x-flagsmith-document-updated-at"

FIELDS = {b"event", b"data", b"id", b"retry"}

# Entries of a parser's cache. The Date header makes old ones useless every second.
MAX_CACHED = 20_000


class ProtocolError(Exception):
    """A server sent what it must not."""


class State(NamedTuple):
    """The state of a stream's parser. All streams that wait for the next event have an equal state."""

    in_body: bool = False
    chunked: bool = False
    raw: bytes = b""
    """Bytes of the head or of a chunk that is not complete yet."""

    text: bytes = b""
    """Decoded lines of an event that is not complete yet."""

    ended: bool = False
    """The terminating chunk has come."""


class Event(NamedTuple):
    name: str
    version: int
    """In microseconds since the epoch; 0 for an event without a version, such as a greeting or a keep-alive."""


START = State()

Step = tuple[State, tuple[Event, ...]]


class StreamReader:
    """A parser of any number of streams, with a cache."""

    def __init__(self) -> None:
        self._cache: dict[tuple[State, bytes], Step] = {}

    def read(self, state: State, data: bytes) -> Step:
        """The state after these bytes, and the events that they completed. Raises ProtocolError."""
        step = self._cache.get((state, data))
        if step is None:
            step = advance(state, data)
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[state, data] = step
        return step


def advance(state: State, data: bytes) -> Step:
    """``StreamReader.read`` without the cache."""
    if state.ended:
        raise ProtocolError(f"bytes after the terminating chunk: {data[:200]!r}")
    raw = state.raw + data
    chunked = state.chunked
    if not state.in_body:
        head, found, rest = raw.partition(b"\r\n\r\n")
        if not found:
            return State(raw=raw), ()
        chunked = _is_chunked(head)
        raw = rest
    text, raw, ended = _unchunked(raw) if chunked else (raw, b"", False)
    *blocks, text = (state.text + text).split(b"\n\n")
    events = tuple(event for block in blocks if (event := _event(block)) is not None)
    if ended and text:
        raise ProtocolError(f"the stream ended within an event: {text[:200]!r}")
    return State(True, chunked, raw, text, ended), events


def _is_chunked(head: bytes) -> bool:
    """Check a stream's headers, and return whether its body is chunked."""
    status, *lines = head.split(b"\r\n")
    headers = {name.lower(): value.strip().lower() for name, _, value in (line.partition(b":") for line in lines)}
    if not re.fullmatch(rb"HTTP/1\.1 200( [ -~]*)?", status):
        raise ProtocolError(f"not a stream: {status[:200]!r}")
    if not headers.get(b"content-type", b"").startswith(b"text/event-stream"):
        raise ProtocolError(f"not a stream: {head[:500]!r}")
    if b"content-length" in headers:
        raise ProtocolError("a stream with a length")
    return headers.get(b"transfer-encoding") == b"chunked"


def _unchunked(raw: bytes) -> tuple[bytes, bytes, bool]:
    """The content of complete chunks, the bytes of an incomplete one, and whether the terminating one is complete."""
    parts: list[bytes] = []
    while raw:
        line, found, rest = raw.partition(b"\r\n")
        if not found:
            break
        if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", line):
            raise ProtocolError(f"not a chunk's size: {line[:200]!r}")
        size = int(line, 16)
        if len(rest) < size + 2:
            break
        if rest[size : size + 2] != b"\r\n":
            raise ProtocolError(f"a chunk that does not end: {raw[:200]!r}")
        raw = rest[size + 2 :]
        if size == 0:
            if raw:
                raise ProtocolError(f"bytes after the terminating chunk: {raw[:200]!r}")
            return b"".join(parts), b"", True
        parts.append(rest[:size])
    return b"".join(parts), raw, False


def _event(block: bytes) -> Event | None:
    """The event of these lines; None if they are comments."""
    fields: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        name, colon, value = line.partition(b":")
        if not line or (colon and not name):
            continue
        if not colon or name not in FIELDS or name in fields:
            raise ProtocolError(f"not a line of an event: {line[:200]!r}")
        fields[name] = value.removeprefix(b" ")
    if not fields:
        return None
    if b"data" not in fields:
        raise ProtocolError(f"an event without data: {block[:200]!r}")
    return Event(fields.get(b"event", b"message").decode(), version_of(fields[b"data"]) if fields[b"data"] else 0)


def version_of(data: bytes) -> int:
    """The version in an event's data, in microseconds."""
    try:
        return microseconds(json.loads(data, parse_float=Decimal)["updated_at"])
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise ProtocolError(f"not a version: {data[:200]!r}") from error


def microseconds(seconds: str | Decimal) -> int:
    """Seconds since the epoch, as events and headers write them, in whole microseconds."""
    return int(Decimal(seconds) * 1_000_000)


class Answer(NamedTuple):
    """A response with a Content-Length."""

    status: int
    headers: dict[bytes, bytes]
    """By name in lower case."""

    body: bytes
    """Decompressed."""

    @property
    def version(self) -> int:
        """The environment's version in the response's header, in microseconds; 0 without one."""
        version = self.headers.get(VERSION_HEADER)
        return microseconds(version.decode()) if version else 0


Head = tuple[int, dict[bytes, bytes], int]


class AnswerReader:
    """A parser of responses of any number of connections, with a cache of their heads."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def read(self, raw: bytes) -> tuple[Answer, bytes] | None:
        """The response and the bytes after it; None if it is incomplete. Raises ProtocolError."""
        end = raw.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = raw[:end]
        parsed = self._heads.get(head)
        if parsed is None:
            if len(self._heads) >= MAX_CACHED:
                self._heads.clear()
            parsed = self._heads[head] = _answer_head(head)
        status, headers, length = parsed
        start = end + 4
        if len(raw) < start + length:
            return None
        body = raw[start : start + length]
        if headers.get(b"content-encoding") == b"gzip":
            body = gzip.decompress(body)
        return Answer(status, headers, body), raw[start + length :]


def _answer_head(head: bytes) -> Head:
    status, *lines = head.split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    number = int(status.split()[1]) if re.fullmatch(rb"HTTP/1\.1 \d{3}( [ -~]*)?", status) else 0
    # A 304 has no body.
    length = headers.get(b"content-length", b"0" if number == 304 else b"")
    if not number or not length.isdigit():
        raise ProtocolError(f"not a response with a length: {head[:500]!r}")
    return number, headers, int(length)
