"""The database: PostgreSQL by ``DATABASE_URL``, otherwise a SQLite file."""

import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from realtime import extras
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
SQLITE = "django.db.backends.sqlite3"


def sqlite(path: Path) -> dict[str, Any]:
    """A SQLite file that many threads and processes can share.

    WAL lets readers go on while somebody writes. IMMEDIATE takes the write lock when a transaction begins, so two
    writers wait for each other; a deferred one that turns into a writer later fails at once with "database is
    locked", whatever the busy timeout (in seconds) says.
    """
    return {
        "ENGINE": SQLITE,
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
    if problem := extras.problem("serve", "dj_database_url"):
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read. {problem}")
    import dj_database_url

    try:
        database: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, dj_database_url.ParseError, dj_database_url.UnknownSchemeError):
        database = {}
    # A service's name stands for all that libpq's own files say of it.
    named = database.get("NAME") or database.get("OPTIONS", {}).get("service")
    if database.get("ENGINE") not in (POSTGRESQL, SQLITE) or not named:
        # Not the URL itself: a password stands in it.
        raise ImproperlyConfigured(
            "DATABASE_URL must be postgres://user:password@host/name, with what is special in them percent-encoded, or"
            " sqlite:////path."
        )
    if database["ENGINE"] == POSTGRESQL:
        if problem := extras.problem("postgresql", "psycopg", "psycopg_pool"):
            raise ImproperlyConfigured(f"DATABASE_URL names a PostgreSQL. {problem}")
        # In seconds. A request waits for a connection for at most "timeout", and then answers that the database is
        # away: a client that probes the server often waits no longer than five. While it waits, the pool tries to
        # connect twice in each "reconnect_timeout".
        pool = {"min_size": 1, "max_size": pool_size, "timeout": 3, "reconnect_timeout": 0.5}
        database["ENGINE"] = "realtime.serving.postgresql"
        # A server that is stopped accepts connections, and no more.
        seconds = environment.whole("DATABASE_TIMEOUT_SECONDS", 5, least=3)
        silent = {"silence_timeout": seconds, "connect_timeout": min(seconds, VANISHED["connect_timeout"])}
        database["OPTIONS"] = {**VANISHED, **silent, **database.get("OPTIONS", {}), "pool": pool}
        # The pool asks a connection whether it still lives before it lends it: a restart or a failover of the database
        # then fails no request that comes after it. An empty query, 0.1 ms on one machine.
        database["CONN_HEALTH_CHECKS"] = True
        return database
    return sqlite(Path(database["NAME"]))
