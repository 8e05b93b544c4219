"""An id of the current database transaction, stored in the rows that belong together."""

from uuid import UUID, uuid4

from django.db import transaction

from realtime.compat.django import commit_hooks


class TransactionID:
    """A commit hook that does nothing at the commit. The connection's hooks are where the transaction's id is stored.

    Hooks exist as long as the transaction. When a savepoint is rolled back, Django discards the hooks registered in it;
    the rows with that id are then rolled back too. So all committed rows of a transaction have the same id.
    """

    def __init__(self) -> None:
        self.id = uuid4()

    def __call__(self) -> None:
        return


def current_id() -> UUID:
    """The id of the open transaction."""
    for hook in commit_hooks(transaction.get_connection()):
        if isinstance(hook, TransactionID):
            return hook.id
    transaction_id = TransactionID()
    transaction.on_commit(transaction_id, robust=True)
    return transaction_id.id
