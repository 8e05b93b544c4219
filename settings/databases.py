"""The database: PostgreSQL by ``DATABASE_URL``, otherwise a SQLite file."""

from realtime.serving.databases import VANISHED, from_url, sqlite

__all__ = ["VANISHED", "from_url", "sqlite"]
