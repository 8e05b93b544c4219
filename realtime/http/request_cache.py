"""A cache keyed by the raw bytes of a request."""

from typing import Generic, TypeVar

V = TypeVar("V")


class RequestCache(Generic[V]):
    """A cache of the ``min_size`` to ``2 * min_size`` entries that were used last.

    It has two generations. A used entry moves into the younger one; when that is full, the older one is dropped.
    """

    def __init__(self, min_size: int) -> None:
        self._min_size = min_size
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
        if len(self._young) >= self._min_size:
            self._young, self._old = {}, self._young
        self._young[key] = value

    def clear(self) -> None:
        self._young, self._old = {}, {}
