"""A name for the present transaction, by which what it wrote can be found together."""

from uuid import UUID, uuid4

from django.db import transaction


class Name:
    """The transaction's name. It waits among the connection's commit hooks, and has nothing to do at the commit.

    Those hooks live as long as the transaction. Django drops one together with the savepoint that it was registered
    in, and then every row of that name is undone too. So what survives of a transaction has one name.
    """

    def __init__(self) -> None:
        self.id = uuid4()

    def __call__(self) -> None:
        return


def current_id() -> UUID:
    """The id of the transaction that is open."""
    for _, hook, *_ in transaction.get_connection().run_on_commit:
        if isinstance(hook, Name):
            return hook.id
    name = Name()
    transaction.on_commit(name, robust=True)
    return name.id
