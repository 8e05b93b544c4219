"""Loses, repeats and delays messages of a bus, so that they are reordered. Other messages pass unchanged."""

import random
import struct
from collections.abc import Iterator
from typing import ClassVar

LATE_SECONDS = 0.5


class Messages:
    """Splits the bytes of a connection into messages, and garbles messages of the bus at random."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._buffer = b""

    def garble(self, data: bytes) -> list[tuple[float, bytes]]:
        self._buffer += data
        return [fate for message in self._take() for fate in self._fates(message)]

    def is_of_bus(self, message: bytes) -> bool:
        raise NotImplementedError

    def length(self, buffer: bytes) -> int | None:
        """The length of the first message in the buffer; None if more bytes are needed."""
        raise NotImplementedError

    def _take(self) -> Iterator[bytes]:
        while self._buffer and (length := self.length(self._buffer)) is not None and length <= len(self._buffer):
            message, self._buffer = self._buffer[:length], self._buffer[length:]
            yield message

    def _fates(self, message: bytes) -> list[tuple[float, bytes]]:
        if not self.is_of_bus(message):
            return [(0.0, message)]
        match self._chance.choice(("lost", "twice", "late", "in time")):
            case "lost":
                return []
            case "twice":
                return [(0.0, message), (self._late(), message)]
            case "late":
                return [(self._late(), message)]
        return [(0.0, message)]

    def _late(self) -> float:
        return self._chance.uniform(0.01, LATE_SECONDS)


class RedisMessages(Messages):
    """Redis's protocol, RESP2 and RESP3: https://redis.io/docs/latest/develop/reference/protocol-spec/"""

    PUSHED: ClassVar = (b"*3\r\n$7\r\nmessage\r\n", b">3\r\n$7\r\nmessage\r\n", b"*4\r\n$8\r\npmessage\r\n")

    def is_of_bus(self, message: bytes) -> bool:
        return message.startswith(self.PUSHED)

    def length(self, buffer: bytes) -> int | None:
        return self._end(buffer, 0)

    def _end(self, buffer: bytes, start: int) -> int | None:
        line_end = buffer.find(b"\r\n", start)
        if line_end < 0:
            return None
        kind, end = buffer[start : start + 1], line_end + 2
        if kind in b"$=!":
            size = int(buffer[start + 1 : line_end])
            return end if size < 0 else end + size + 2
        if kind in b"*>~%":
            parts = int(buffer[start + 1 : line_end]) * (2 if kind == b"%" else 1)
            for _ in range(parts):
                found = self._end(buffer, end)
                if found is None:
                    return None
                end = found
        return end


class PostgreSQLMessages(Messages):
    """PostgreSQL's, version 3: https://www.postgresql.org/docs/current/protocol-message-formats.html"""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self._began = False

    def is_of_bus(self, message: bytes) -> bool:
        # NotificationResponse
        return message[:1] == b"A"

    def length(self, buffer: bytes) -> int | None:
        if not self._began:
            self._began = True
            # The response to a request for TLS, which a client may send first, has one byte. Otherwise the first
            # message is AuthenticationOk.
            if buffer[:1] == b"N":
                return 1
        if len(buffer) < 5:
            return None
        size: int = struct.unpack_from("!I", buffer, 1)[0]
        return 1 + size
