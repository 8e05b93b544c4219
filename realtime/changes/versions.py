"""Raises environments' versions in the transaction of a change, and publishes them once after its commit."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.dispatch import Signal

from realtime import hosts
from realtime.changes import publish
from realtime.compat.django import ROLLBACK_TO_SAVEPOINT, commit_hooks, commits_by_itself, wrap_statements
from realtime.types import EnvironmentID, EnvironmentState

raised = Signal()
"""Signal sent in the transaction in which versions were raised, except by silent changes.

``states``: the new states by environments' primary keys. A receiver's writes commit or roll back with the versions.
"""

committed = Signal()
"""Signal sent after the commit of a transaction that raised versions. ``states``: a list of the new states."""


class Announcement:
    """The ``on_commit`` hook of a transaction that has raised versions: publishes the new states.

    It is also the record of what the transaction has done. Django drops a hook when the savepoint in which it was
    registered is rolled back, so a registered hook proves that its environments are locked and their versions raised.
    Only a savepoint that is rolled back by hand (``transaction.savepoint_rollback``) keeps its hooks. After such a
    rollback all registered hooks are ``in_doubt``.
    """

    def __init__(self, ids: Iterable[EnvironmentID], states: list[EnvironmentState], silent: bool, gate: bool) -> None:
        self.ids = frozenset(ids)
        self.states = states
        self.silent = silent
        self.gate = gate
        """The transaction may open or close the gate after the states were read."""
        self.in_doubt = False
        """The versions may have been rolled back by hand."""

    def __call__(self) -> None:
        states = self.states
        if states and (self.in_doubt or self.gate):
            try:
                states = self._read_again()
            except Exception:
                # The change is committed, so the reconcile will find it.
                publish.log_failure(states)
                return
        committed.send_robust(sender=None, states=states)
        publish.publish(states, already_enqueued=True, include_closed=self.gate)

    def _read_again(self) -> list[EnvironmentState]:
        """The committed states of the environments that still have the version raised here.

        If another transaction has raised a version further, that transaction publishes it.
        """
        now = hosts.current().committed_states([state.key for state in self.states])
        raised_here = {state.key: state.updated_at for state in self.states}
        return [state for state in now.values() if state.updated_at == raised_here.get(state.key)]


def announce(
    environment_ids: Iterable[EnvironmentID],
    *,
    silent: bool = False,
    gate: bool = False,
    using: str = DEFAULT_DB_ALIAS,
) -> None:
    """Raise the versions of these environments in the current transaction, and publish an event after its commit.

    For writes that send no model signals: ``QuerySet.update``, ``bulk_create``, ``bulk_update``, raw SQL. Call it in
    the transaction of the change and before the change: it locks the environments, in the order of their primary keys,
    until the commit. However often it is called in one transaction, each environment's version is raised once and one
    event is sent. Outside of a transaction it commits at once.

    ``silent``: SDKs can read the change, but get no event (an identity's overrides). The environment's ``revision``
    rises, ``updated_at`` stays. ``gate``: pass True if the change may open or close the gate. Then the gate is read
    again after the commit, also for environments announced earlier in the transaction, and other processes are notified
    of a closed gate too.
    """
    due = set(environment_ids)
    with transaction.atomic(using=using, savepoint=False):
        for announcement in _hooks(connections[using]):
            if announcement.in_doubt:
                gate = gate or (announcement.gate and not due.isdisjoint(announcement.ids))
        for announcement in _registered(connections[using]):
            if silent or not announcement.silent:
                if gate and not announcement.gate and not due.isdisjoint(announcement.ids):
                    announcement.gate = True
                    publish.enqueue(announcement.states, using, include_closed=True)
                due -= announcement.ids
        if due:
            states = hosts.current().raise_versions(due, silent)
            transaction.on_commit(Announcement(due, list(states.values()), silent, gate), using=using, robust=True)
            if states:
                publish.enqueue(states.values(), using, include_closed=gate)
                raised.send(sender=None, states=states)


def lock(environment_ids: Iterable[EnvironmentID], using: str = DEFAULT_DB_ALIAS, *, exclusive: bool = False) -> None:
    """Lock these environments until the end of the transaction, in the order of their primary keys.

    Environments that the transaction has announced are locked already and cost no query. ``exclusive``: also block
    inserts of rows that refer to the environments, before a deletion.
    """
    if exclusive:
        hosts.current().lock(environment_ids, exclusive=True)
        return
    if announcements := _registered(connections[using]):
        environment_ids = set(environment_ids).difference(*[announcement.ids for announcement in announcements])
        if not environment_ids:
            return
    hosts.current().lock(environment_ids)


def _registered(connection: BaseDatabaseWrapper) -> list[Announcement]:
    """The announcements of the open transaction, without those in doubt."""
    if not commits_by_itself(connection):
        # Hooks that stay registered after a commit prove nothing.
        return []
    return [hook for hook in _hooks(connection) if not hook.in_doubt]


def _hooks(connection: BaseDatabaseWrapper) -> list[Announcement]:
    return [hook for hook in commit_hooks(connection) if isinstance(hook, Announcement)]


def _doubt_after_rollback(
    execute: Callable[..., Any], sql: object, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    # The project may execute psycopg's SQL objects. Django's own statements are text.
    if isinstance(sql, str) and sql.startswith(ROLLBACK_TO_SAVEPOINT):
        for announcement in _hooks(context["connection"]):
            announcement.in_doubt = True
    return execute(sql, params, many, context)


def watch_rollbacks(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Receiver of ``connection_created``: marks announcements as in doubt when a savepoint is rolled back by hand."""
    wrap_statements(connection, _doubt_after_rollback)
