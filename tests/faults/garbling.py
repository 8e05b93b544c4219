"""Messages of a bus that are lost, said twice, or late, so that others overtake them. All else passes as it is."""

import random
import struct
from collections.abc import Iterator
from typing import ClassVar

LATE_SECONDS = 0.5


class Messages:
    """Cuts one connection's bytes into messages, and lets chance decide about those of the bus."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._held = b""

    def garble(self, data: bytes) -> list[tuple[float, bytes]]:
        self._held += data
        return [fate for message in self._take() for fate in self._fates(message)]

    def is_of_bus(self, message: bytes) -> bool:
        raise NotImplementedError

    def length(self, held: bytes) -> int | None:
        """Of the message that these bytes begin with; None: more has to come first."""
        raise NotImplementedError

    def _take(self) -> Iterator[bytes]:
        while self._held and (length := self.length(self._held)) is not None and length <= len(self._held):
            message, self._held = self._held[:length], self._held[length:]
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

    def length(self, held: bytes) -> int | None:
        return self._end(held, 0)

    def _end(self, held: bytes, start: int) -> int | None:
        line_end = held.find(b"\r\n", start)
        if line_end < 0:
            return None
        kind, end = held[start : start + 1], line_end + 2
        if kind in b"$=!":
            size = int(held[start + 1 : line_end])
            return end if size < 0 else end + size + 2
        if kind in b"*>~%":
            parts = int(held[start + 1 : line_end]) * (2 if kind == b"%" else 1)
            for _ in range(parts):
                found = self._end(held, end)
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

    def length(self, held: bytes) -> int | None:
        if not self._began:
            self._began = True
            # The one byte that answers a request for TLS, which a client may send first. All else begins with
            # AuthenticationOk.
            if held[:1] == b"N":
                return 1
        if len(held) < 5:
            return None
        size: int = struct.unpack_from("!I", held, 1)[0]
        return 1 + size
