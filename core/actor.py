"""On whose behalf things change: the caller of the present request, or the system."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass
class Actor:
    """Who changes something. A master API key is no author, and neither is the system."""

    author_id: int | None = None
    master_api_key_id: str | None = None
    is_system: bool = False
    change_request: Any = None
    """The change request that is being applied, if that is what the system does."""
    is_scheduled: bool = False
    """Whether it goes live at its own time, and not by the request that committed it."""
    state_contexts: dict[int, Any] = field(default_factory=dict)
    """The cache of ``audit.state_contexts``, by the states' primary keys."""


@runtime_checkable
class ActingUser(Protocol):
    """A ``request.user`` that changes things in the Admin API: a user, or a master API key."""

    def as_actor(self) -> Actor: ...


_current: ContextVar[Actor | None] = ContextVar("actor", default=None)


def current() -> Actor | None:
    """None outside of a request: such a change makes no entry, as in Flagsmith."""
    return _current.get()


@contextmanager
def request() -> Iterator[None]:
    """The time of a request. Nobody acts in it until ``signed_in`` says who."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def signed_in(user: object) -> None:
    """The request's authenticated user acts until the request ends. The SDK API's callers do not act."""
    if isinstance(user, ActingUser):
        _current.set(user.as_actor())


@contextmanager
def system(change_request: Any = None) -> Iterator[None]:
    """What changes in here is logged as a system event, without an author.

    With a change request, the one that is being applied, its flags' entries (``audit.bulk.went_live``) name it. It
    "went live" outside of a request, and was "updated by" it within the request that commits it.
    """
    scheduled = current() is None
    token = _current.set(Actor(is_system=True, change_request=change_request, is_scheduled=scheduled))
    try:
        yield
    finally:
        _current.reset(token)
