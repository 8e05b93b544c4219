"""Environments' versions: raised in the transaction of the change, published once when it commits."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.dispatch import Signal

from realtime import hosts
from realtime.changes import publish
from realtime.types import EnvironmentID, EnvironmentState

raised = Signal()
"""Sent in the transaction in which versions rose: ``states``, a dict of the new states by environments' primary keys.

Not sent for silent changes. What a receiver writes is kept, or undone, together with the versions.
"""


committed = Signal()
"""Sent when a transaction has committed that raised versions: ``states``, a list of the new states."""


class Announcement:
    """The commit hook of a transaction that has raised versions: publishes the new states.

    Django drops a hook together with the savepoint in which it was registered. So a hook that is still registered
    proves that its environments are locked and their versions raised, and nothing else has to be remembered. Only a
    savepoint that was rolled back by hand leaves its hooks behind: after any such rollback all registered hooks are
    ``in_doubt``.
    """

    def __init__(self, ids: Iterable[EnvironmentID], states: list[EnvironmentState], silent: bool, gate: bool) -> None:
        self.ids = frozenset(ids)
        self.states = states
        self.silent = silent
        self.gate = gate
        """The transaction may have opened or closed the gate after the states were read."""
        self.in_doubt = False
        """The versions may have been rolled back with a savepoint."""

    def __call__(self) -> None:
        states = self.states
        if states and (self.in_doubt or self.gate):
            try:
                states = self._read_again()
            except Exception:
                # The change is committed, and the reconcile finds it.
                publish.log_failure(states)
                return
        committed.send_robust(sender=None, states=states)
        publish.publish(states, already_enqueued=True, include_closed=self.gate)

    def _read_again(self) -> list[EnvironmentState]:
        """The committed states of those that still have the version that was raised here. A version that another
        transaction has raised further is published by that transaction.
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
    """Announce that the present transaction changes what SDKs read of these environments.

    For writes that send no signal: ``QuerySet.update``, ``bulk_create``, ``bulk_update``, raw SQL. Call it in the
    transaction of the change and before the change: it locks the environments, in the order of their primary keys,
    until the commit. However often it is called in one transaction, each environment's version is raised once and one
    event is sent. Outside of a transaction it commits at once.

    ``silent``: SDKs can read the change, but get no event (an identity's overrides). The environment's ``revision``
    rises, ``updated_at`` stays. ``gate``: to be passed if the change may open or close the gate. Then the gate as it is
    at the commit decides, also for what the transaction has announced before, and other processes are notified of a
    closed gate too.
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

    No query for those that the transaction has announced, and so holds locked already. ``exclusive``: keep out rows
    that refer to the environments as well, before a deletion.
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
    """The announcements of the open transaction whose versions are certainly raised."""
    if not connection.commit_on_exit:
        # Code that commits by hand (``set_autocommit(False)``) leaves the hooks of what is committed registered until
        # Django manages transactions again: so there they prove nothing.
        return []
    return [hook for hook in _hooks(connection) if not hook.in_doubt]


def _hooks(connection: BaseDatabaseWrapper) -> list[Announcement]:
    return [hook for _, hook, *_ in connection.run_on_commit if isinstance(hook, Announcement)]


def _doubt_after_rollback(
    execute: Callable[..., Any], sql: object, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    # A host's own statement may be one of psycopg's objects; Django's are text.
    if isinstance(sql, str) and sql.startswith("ROLLBACK TO SAVEPOINT"):
        for announcement in _hooks(context["connection"]):
            announcement.in_doubt = True
    return execute(sql, params, many, context)


def watch_rollbacks(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """For each new connection: notice when a savepoint is rolled back."""
    if _doubt_after_rollback not in connection.execute_wrappers:
        # The first: a connection may be made under ``execute_wrapper``, which takes the last one away at its end.
        connection.execute_wrappers.insert(0, _doubt_after_rollback)
