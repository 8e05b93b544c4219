"""The actor of the current request or task: the author of the audit log's entries."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass
class Actor:
    """The author of a change: a user, a master API key (then ``author_id`` is None), or the system."""

    author_id: int | None = None
    master_api_key_id: str | None = None
    is_system: bool = False
    change_request: Any = None
    """The change request that the system is applying, if any."""
    is_scheduled: bool = False
    """Whether it goes live at its own time, and not by the request that committed it."""
    state_contexts: dict[int, Any] = field(default_factory=dict)
    """The cache of ``audit.state_contexts``, by the states' primary keys."""


@runtime_checkable
class ActingUser(Protocol):
    """A ``request.user`` that changes objects in the Admin API: a user, or a master API key."""

    def as_actor(self) -> Actor: ...


_current: ContextVar[Actor | None] = ContextVar("actor", default=None)


def current() -> Actor | None:
    """The current actor. None outside of a request: such a change makes no entry, as in Flagsmith."""
    return _current.get()


@contextmanager
def request() -> Iterator[None]:
    """The context of a request. It has no actor until ``set_user`` sets one."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def set_user(user: object) -> None:
    """Make the request's authenticated user its actor. Callers of the SDK API are no actors."""
    if isinstance(user, ActingUser):
        _current.set(user.as_actor())


@contextmanager
def system(change_request: Any = None) -> Iterator[None]:
    """The context in which changes are logged as system events, without an author.

    With ``change_request``, the one that is being applied, its flags' entries (``audit.bulk.went_live``) name it. They
    read "went live" outside of a request, and "updated by" within the request that commits it.
    """
    scheduled = current() is None
    token = _current.set(Actor(is_system=True, change_request=change_request, is_scheduled=scheduled))
    try:
        yield
    finally:
        _current.reset(token)
