"""Django's database settings: PostgreSQL by ``DATABASE_URL``, otherwise a SQLite file."""

import os
from pathlib import Path
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured

from realtime import extras
from realtime.serving import environment

# libpq's TCP options. If the server's machine vanishes (a failover, a firewall that drops the connection), connections
# fail after 10 s instead of TCP's quarter of an hour. Slow queries are not affected. Less than REALTIME_WEDGED_SECONDS,
# because a process must not be restarted while its database is away.
TCP_TIMEOUTS = {
    "connect_timeout": 5,
    "keepalives_idle": 4,
    "keepalives_interval": 3,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}


POSTGRESQL = "django.db.backends.postgresql"
SQLITE = "django.db.backends.sqlite3"
NONE = "django.db.backends.dummy"
"""The back end of a server without a database."""


def check_django() -> None:
    """Raises ImproperlyConfigured for a Django without SQLite's ``transaction_mode`` and PostgreSQL's pool."""
    if django.VERSION < (5, 1):
        raise ImproperlyConfigured(f"This server needs Django 5.1 or newer, not {django.__version__}.")


def sqlite(path: Path) -> dict[str, Any]:
    """The settings of a SQLite file that threads and processes can share.

    With WAL, writers do not block readers. IMMEDIATE takes the write lock when a transaction begins, so that writers
    wait for each other; a deferred transaction that writes later fails at once with "database is locked", without
    waiting for the timeout (in seconds).
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
    """The settings of ``DATABASE_URL``, with ``DATABASE_POOL_SIZE`` (default: ``pool_size``) connections.

    Without a URL, those of the SQLite file. Raises ImproperlyConfigured.
    """
    url = os.environ.get("DATABASE_URL", "").strip()
    return from_url(url, environment.integer("DATABASE_POOL_SIZE", pool_size)) if url else sqlite(file)


def from_url(url: str, pool_size: int) -> dict[str, Any]:
    """The settings of a URL's database, with psycopg's pool for PostgreSQL. Raises ImproperlyConfigured.

    Under ASGI each request runs in a thread of its own, so persistent connections would not be shared.
    """
    if problem := extras.problem("serve", "dj_database_url"):
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read. {problem}")
    import dj_database_url

    try:
        database: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, dj_database_url.ParseError, dj_database_url.UnknownSchemeError):
        database = {}
    # A service is a set of parameters in libpq's own configuration files.
    named = database.get("NAME") or database.get("OPTIONS", {}).get("service")
    if database.get("ENGINE") not in (POSTGRESQL, SQLITE) or not named:
        # Without the URL, which may contain a password.
        raise ImproperlyConfigured(
            "DATABASE_URL must be postgres://user:password@host/name, with special characters percent-encoded, or"
            " sqlite:////path."
        )
    if database["ENGINE"] == POSTGRESQL:
        if problem := extras.problem("postgresql", "psycopg", "psycopg_pool"):
            raise ImproperlyConfigured(f"DATABASE_URL names a PostgreSQL. {problem}")
        # Timeouts in seconds. A request waits for a connection for at most "timeout", and then responds 503; health
        # checks often time out after five. While it waits, the pool tries to connect twice per "reconnect_timeout".
        pool = {"min_size": 1, "max_size": pool_size, "timeout": 3, "reconnect_timeout": 0.5}
        database["ENGINE"] = "realtime.serving.postgresql"
        seconds = environment.integer("DATABASE_TIMEOUT_SECONDS", 5, minimum=3)
        timeouts = {"silence_timeout": seconds, "connect_timeout": min(seconds, TCP_TIMEOUTS["connect_timeout"])}
        database["OPTIONS"] = {**TCP_TIMEOUTS, **timeouts, **database.get("OPTIONS", {}), "pool": pool}
        # The pool checks a connection before it hands it out, so that no request fails after a restart or a failover of
        # the database. It is an empty query (0.1 ms with the database on the same machine).
        database["CONN_HEALTH_CHECKS"] = True
        return database
    return sqlite(Path(database["NAME"]))
