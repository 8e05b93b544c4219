"""A real server in a process of its own, with a database of its own.

with ServerProcess(database.copy(folder)) as server:
    requests.get(f"{server.url}/api/v1/flags/", ...)
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Protocol, Self

import pytest

from tests.support import migrated, ports, programs
from tests.support.patience import PATIENCE, START
from tests.support.postgresql import PostgreSQL, postgresql_version
from tests.support.processes import Process

ASGI = "settings.asgi:application"

TEMPLATE = "migrated"

Flavour = Literal["uvicorn", "daphne"]

MOSTLY_UVICORN = ["uvicorn", pytest.param("daphne", marks=pytest.mark.slow)]
"""Parameters of tests and fixtures whose results hardly depend on the server: with daphne only in ``--all``."""
"""``manage.py serve``, and the other server that the documentation names."""

# Variables of the test's own environment that would configure the server under test.
FOREIGN = (
    "DATABASE_",
    "REDIS_",
    "REALTIME_",
    "SSE_",
    "WEBHOOKS_",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "DJANGO_",
    "GRIP_",
    "LOG_FORMAT",
    "PORT",
    "PYTEST_",
)


def environ(**variables: str) -> dict[str, str]:
    """This process's environment without variables that configure a server, and with these variables.

    ``manage.py`` then chooses its default settings, ``settings.dev``.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return own | {"PYTHONUNBUFFERED": "1"} | variables


def manage(*arguments: str, variables: Mapping[str, str], checkout: Path = programs.ROOT) -> str:
    """Run ``manage.py`` and return its output. A failure raises a ``RuntimeError`` with its stderr."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=checkout,
        env=environ(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"manage.py {' '.join(arguments)} ended with status {done.returncode}:\n{done.stderr}")
    return done.stdout


class MigratedDatabase(Protocol):
    """A migrated database without rows, of which servers get copies."""

    def copy(self, folder: Path) -> dict[str, str]:
        """Create a copy, in the folder if the database is a file, and return the variables that point to it."""


@dataclass
class MigratedSQLite:
    file: Path

    def copy(self, folder: Path) -> dict[str, str]:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.file, folder / "db.sqlite3")
        return {"VAR_DIR": str(folder)}


@dataclass
class MigratedPostgreSQL:
    server: PostgreSQL
    template: str

    def copy(self, folder: Path) -> dict[str, str]:
        return {"VAR_DIR": str(folder), "DATABASE_URL": self.server.url(self.server.create_database(self.template))}


def migrated_sqlite() -> MigratedSQLite:
    return MigratedSQLite(migrated.cached("sqlite", _migrate_sqlite) / "db.sqlite3")


def _migrate_sqlite(folder: Path) -> None:
    folder.mkdir()
    manage("migrate", "--verbosity=0", variables={"VAR_DIR": str(folder)})
    with sqlite3.connect(folder / "db.sqlite3") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def migrated_cluster() -> PostgreSQL:
    """A context manager: a PostgreSQL with a migrated database named ``TEMPLATE``."""
    return PostgreSQL(migrated.cached(f"postgresql-{postgresql_version()}", _migrate_postgresql))


def migrated_postgresql(server: PostgreSQL) -> MigratedPostgreSQL:
    """The migrated database of a ``migrated_cluster``."""
    return MigratedPostgreSQL(server, TEMPLATE)


def _migrate_postgresql(folder: Path) -> None:
    with PostgreSQL() as server, tempfile.TemporaryDirectory() as var:
        server.create_database(name=TEMPLATE)
        variables = {"VAR_DIR": var, "DATABASE_URL": server.url(TEMPLATE), "DATABASE_POOL_SIZE": "1"}
        manage("migrate", "--verbosity=0", variables=variables)
        server.save(folder)


class ServerProcess:
    """The product, serving on a free port of the loopback interface while this is entered.

    ``variables`` are its environment variables: those of a database (``MigratedDatabase.copy``), and any setting. By
    default its drain is short (``REALTIME_DRAIN_SECONDS``), and streams outlast a test on a slow machine
    (``REALTIME_STREAM_SECONDS``). Its code is that of ``checkout``.
    """

    DEFAULTS: ClassVar = {
        "DJANGO_SETTINGS_MODULE": "settings.dev",
        "REALTIME_DRAIN_SECONDS": "0.1",
        "REALTIME_STREAM_SECONDS": "3600",
    }

    def __init__(
        self,
        variables: Mapping[str, str],
        *,
        flavour: Flavour = "uvicorn",
        arguments: tuple[str, ...] = (),
        checkout: Path = programs.ROOT,
    ) -> None:
        self.flavour = flavour
        self.arguments = arguments
        self.checkout = checkout
        self.variables = {**self.DEFAULTS, **variables}
        self.port = ports.free_port()
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        if error is None:
            self.stop()
            return
        self.process.kill()
        error.add_note(f"The server's log:\n{self.log}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> Process:
        assert self._process is not None, "the server was not started"
        return self._process

    @property
    def log(self) -> str:
        """The server's log so far."""
        return self.process.log

    def start(self, timeout: float = START) -> None:
        """Start it, on the same port as before, and wait until it is ready."""
        self.launch()
        self.wait(timeout)

    def launch(self) -> None:
        """Start it without waiting."""
        self._process = Process(self._command(), environ=environ(**self.variables), cwd=self.checkout)

    def wait(self, timeout: float = START) -> None:
        """Wait until it is ready."""
        try:
            self.process.wait_until(self.is_ready, timeout)
        except BaseException:
            self.process.kill()
            raise

    def stop(self, timeout: float = PATIENCE) -> int:
        """Terminate it, wait, and return its exit status."""
        return self.process.stop(timeout)

    def is_ready(self) -> bool:
        """Whether its readiness check succeeds."""
        try:
            return self.get("/health/readiness").status == 200
        except OSError:
            return False

    def get(self, path: str) -> "Answer":
        """A plain GET, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def manage(self, *arguments: str) -> str:
        """Run ``manage.py`` on the server's database."""
        return manage(*arguments, variables=self.variables, checkout=self.checkout)

    def _command(self) -> list[str]:
        if self.flavour == "daphne":
            return [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), *self.arguments, ASGI]
        return [sys.executable, "manage.py", "serve", "--host=127.0.0.1", f"--port={self.port}", *self.arguments]


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)
