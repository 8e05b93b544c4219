"""Environments' versions: raised in the transaction of the change, published once when it commits."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.dispatch import Signal

from realtime import hosts, publish
from realtime.inspection.commits import commits
from realtime.types import EnvironmentID, EnvironmentState

raised = Signal()
"""Sent in the transaction in which versions rose: ``states``, a dict of the new states by environments' primary keys.

Not sent where nobody is to be told. What a receiver writes is kept, or undone, together with the versions.
"""


class Announcement:
    """What one transaction will say when it commits. It waits among the connection's commit hooks.

    Django drops a hook together with the savepoint that it was registered in. So a hook that still waits there is the
    proof that its environments' versions are raised, and nothing else has to be remembered. Only a savepoint that was
    rolled back by hand leaves its hooks behind: after any such rollback all that wait are ``in_doubt``.
    """

    def __init__(self, ids: Iterable[EnvironmentID], states: list[EnvironmentState], silent: bool) -> None:
        self.ids = frozenset(ids)
        self.states = states
        self.silent = silent
        self.in_doubt = False

    def __call__(self) -> None:
        states = self.states
        if self.in_doubt and states:
            now = hosts.current().states([state.key for state in states])
            states = [state for state in states if now.get(state.key) == state]
        commits.note(states)
        publish.publish(states, enlisted=True)


def announce(environment_ids: Iterable[EnvironmentID], *, silent: bool = False, using: str = DEFAULT_DB_ALIAS) -> None:
    """Say that what SDKs read of these environments changes in the present transaction.

    This is the door for writes that send no signal: ``QuerySet.update``, ``bulk_create``, ``bulk_update``, raw SQL.
    Call it in the transaction of the change and rather before the change than after it: it locks the environments, in
    the order of their primary keys, until the commit. However often it is called there, each environment's version
    is raised once and one event goes out. Outside of a transaction it commits at once.

    ``silent``: SDKs read it, but nobody is told (an identity's overrides). The environment's ``revision`` rises,
    ``updated_at`` stays, no event goes out.
    """
    due = set(environment_ids)
    with transaction.atomic(using=using, savepoint=False):
        # Whoever commits by hand (``set_autocommit(False)``) leaves the hooks of what is committed there, until Django
        # manages transactions again: so there they prove nothing.
        by_hand = not connections[using].commit_on_exit
        for waiting in _waiting(connections[using]):
            if not by_hand and not waiting.in_doubt and (silent or not waiting.silent):
                due -= waiting.ids
        if due:
            states = hosts.current().raise_versions(due, silent)
            transaction.on_commit(Announcement(due, list(states.values()), silent), using=using, robust=True)
            if states:
                publish.enlist(states.values(), using)
                raised.send(sender=None, states=states)


def lock(environment_ids: Iterable[EnvironmentID]) -> None:
    """Lock these environments to the end of the transaction, in the one order that everybody keeps."""
    hosts.current().lock(environment_ids)


def _waiting(connection: BaseDatabaseWrapper) -> list[Announcement]:
    return [hook for _, hook, *_ in connection.run_on_commit if isinstance(hook, Announcement)]


def _doubt_after_rollback(
    execute: Callable[..., Any], sql: object, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    # A host's own statement may be one of psycopg's objects; Django's are text.
    if isinstance(sql, str) and sql.startswith("ROLLBACK TO SAVEPOINT"):
        for waiting in _waiting(context["connection"]):
            waiting.in_doubt = True
    return execute(sql, params, many, context)


def watch_rollbacks(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """For each new connection: notice when a savepoint is rolled back."""
    if _doubt_after_rollback not in connection.execute_wrappers:
        # The first: a connection may be made under ``execute_wrapper``, which takes the last one away at its end.
        connection.execute_wrappers.insert(0, _doubt_after_rollback)
