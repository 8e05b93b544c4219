"""The database: PostgreSQL by ``DATABASE_URL``, otherwise a SQLite file."""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from realtime.serving import environment

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


POSTGRESQL = "django.db.backends.postgresql"
SUPPORTED = (POSTGRESQL, "django.db.backends.sqlite3")


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


def from_environment(file: Path, pool_size: int) -> dict[str, Any]:
    """The database that ``DATABASE_URL`` names, with so many connections unless ``DATABASE_POOL_SIZE`` says otherwise;
    without a URL this SQLite file. Raises ImproperlyConfigured.
    """
    url = os.environ.get("DATABASE_URL", "").strip()
    return from_url(url, environment.whole("DATABASE_POOL_SIZE", pool_size)) if url else sqlite(file)


def from_url(url: str, pool_size: int) -> dict[str, Any]:
    """The database of a URL; PostgreSQL gets psycopg's pool. Raises ImproperlyConfigured.

    Under ASGI each request runs in a thread of its own, so a persistent connection would be one for each request.
    """
    try:
        database: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, dj_database_url.ParseError, dj_database_url.UnknownSchemeError):
        database = {}
    # A service's name stands for all that libpq's own files say of it.
    named = database.get("NAME") or database.get("OPTIONS", {}).get("service")
    if database.get("ENGINE") not in SUPPORTED or not named:
        # Not the URL itself: a password stands in it.
        raise ImproperlyConfigured(
            "DATABASE_URL must be postgres://user:password@host/name, with what is special in them percent-encoded, or"
            " sqlite:////path."
        )
    if database["ENGINE"] == POSTGRESQL:
        # In seconds. A request waits so long for a connection, and takes so long to say that the database is away: who
        # probes the server often waits no longer than five. The pool waits twice as long before each new attempt, and
        # after "reconnect_timeout" begins anew with the next request: once the database is back, it is noticed within
        # about a second, however long it was away.
        pool: dict[str, Any] = {"min_size": 1, "max_size": pool_size, "timeout": 3, "reconnect_timeout": 1.5}
        # A server that is stopped, and still there for TCP. psycopg is there only where PostgreSQL is.
        from realtime.serving import postgresql

        seconds = environment.whole("DATABASE_TIMEOUT_SECONDS", 5, least=postgresql.PROBE_SECONDS + 1)
        pool["connection_class"] = postgresql.answering_within(seconds)
        database["OPTIONS"] = {**VANISHED, **database.get("OPTIONS", {}), "pool": pool}
        # The pool asks a connection whether it still lives before it lends it: a restart or a failover of the database
        # then fails no request that comes after it. An empty query, 0.1 ms on one machine.
        database["CONN_HEALTH_CHECKS"] = True
        return database
    return sqlite(Path(database["NAME"]))
