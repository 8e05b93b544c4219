"""What was made of bytes before, to be found by the same bytes again."""

from typing import Generic, TypeVar

V = TypeVar("V")


class Memo(Generic[V]):
    """The values that were used last: at least ``least``, at most twice as many.

    There are two generations. What is used moves into the younger one; when that is full, the older one is forgotten.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: bytes) -> V | None:
        found = self._young.get(key)
        if found is None and (found := self._old.pop(key, None)) is not None:
            self.put(key, found)
        return found

    def put(self, key: bytes, value: V) -> None:
        if len(self._young) >= self._least:
            self._young, self._old = {}, self._young
        self._young[key] = value

    def clear(self) -> None:
        self._young, self._old = {}, {}
