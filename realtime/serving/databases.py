"""The database: PostgreSQL by ``DATABASE_URL``, otherwise a SQLite file."""

from pathlib import Path
from typing import Any

import dj_database_url

# A database whose machine is gone without a word (a failover, a firewall that has forgotten the connection) is noticed
# after 10 s, and not after the quarter of an hour that TCP takes by itself. A query that only takes long is not cut.
# Less than REALTIME_WEDGED_SECONDS: a database that is away is no reason to start the process anew.
VANISHED = {
    "connect_timeout": 5,
    "keepalives_idle": 4,
    "keepalives_interval": 3,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}


def sqlite(path: Path) -> dict[str, Any]:
    """A SQLite file that many threads and processes can share.

    WAL lets readers go on while somebody writes. IMMEDIATE takes the write lock when a transaction begins, so two
    writers wait for each other; a deferred one that turns into a writer later fails at once with "database is
    locked", whatever the busy timeout (in seconds) says.
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL;",
        },
        "TEST": {"NAME": str(path.with_name("test.sqlite3"))},
    }


def from_url(url: str, pool_size: int) -> dict[str, Any]:
    """The database of a URL; PostgreSQL gets psycopg's pool.

    Under ASGI each request runs in a thread of its own, so a persistent connection would be one for each request.
    """
    database: dict[str, Any] = dict(dj_database_url.parse(url))
    if database["ENGINE"] == "django.db.backends.postgresql":
        # In seconds. A request waits so long for a connection, and takes so long to say that the database is away: who
        # probes the server often waits no longer than five. The pool waits twice as long before each new attempt, and
        # after "reconnect_timeout" begins anew with the next request: once the database is back, it is noticed within
        # about a second, however long it was away.
        pool = {"min_size": 1, "max_size": pool_size, "timeout": 3, "reconnect_timeout": 1.5}
        database["OPTIONS"] = {**VANISHED, **database.get("OPTIONS", {}), "pool": pool}
        # The pool asks a connection whether it still lives before it lends it: a restart or a failover of the database
        # then fails no request that comes after it. An empty query, 0.1 ms on one machine.
        database["CONN_HEALTH_CHECKS"] = True
    elif database["ENGINE"] == "django.db.backends.sqlite3":
        database = sqlite(Path(database["NAME"]))
    return database
