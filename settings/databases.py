"""The database: PostgreSQL by ``DATABASE_URL``, otherwise a SQLite file."""

from pathlib import Path
from typing import Any

import dj_database_url


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
        pool = {"min_size": 1, "max_size": pool_size, "timeout": 10}
        database["OPTIONS"] = {**database.get("OPTIONS", {}), "pool": pool}
    elif database["ENGINE"] == "django.db.backends.sqlite3":
        database = sqlite(Path(database["NAME"]))
    return database
