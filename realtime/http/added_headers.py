"""The headers that a project's middleware adds to responses which do not pass through Django."""

from typing import Protocol

from realtime.types import Scope


class AddedHeaders(Protocol):
    """The headers that the project adds to each response to one kind of request."""

    def __hash__(self) -> int: ...

    def merge(self, headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
        """All headers of a response with this body and these headers, for ASGI."""


class PlainHeaders:
    """The added headers of a project without middleware."""

    def merge(self, headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
        merged = {"x-content-type-options": "nosniff", **headers, "content-length": str(len(body))}
        return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in merged.items()]


PLAIN = PlainHeaders()


def plain(scope: Scope) -> AddedHeaders | None:
    return PLAIN
