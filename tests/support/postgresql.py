"""A private PostgreSQL on a free port, in a temporary folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from types import TracebackType
from typing import Any, Self

import psycopg
from django.db import connection
from psycopg import sql

from tests.support import ports, programs
from tests.support.patience import START

# Durability is not needed for tests.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
}

WAIT = ("--wait", f"--timeout={START:.0f}")

# Small log files: a cluster is copied for each process that runs tests.
INITDB = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "--locale=C", "--wal-segsize=1")


class PostgreSQL:
    """A context manager: a cluster that may be stopped and started, and is removed at the end.

    It is empty, or a copy of ``saved``, a folder that ``save`` has written. ``settings`` are further settings of
    PostgreSQL.
    """

    def __init__(self, saved: Path | None = None, **settings: str) -> None:
        self._saved = saved
        self._settings = SETTINGS | settings
        self._programs = programs.require("pg_ctl").parent
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._data = self._folder / "data"
        self._account = _account()
        self._databases = 0
        self.port = ports.free_port()

    def __enter__(self) -> Self:
        self._own(self._folder)
        if self._saved is None:
            self._run("initdb", *INITDB)
        else:
            shutil.copytree(self._saved, self._data)
            for path in (self._data, *self._data.rglob("*")):
                self._own(path)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def url(self, database: str = "postgres") -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        settings = self._settings | {"port": str(self.port), "unix_socket_directories": str(self._folder)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = self._folder / "log"
        self._run("pg_ctl", "start", *WAIT, "--silent", f"--log={log}", f"--options={options}")

    def stop(self) -> None:
        """Stop it immediately, with all connections."""
        self._run("pg_ctl", "stop", *WAIT, "--silent", "--mode=immediate")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause all its processes by SIGSTOP: connections stay open, and get no responses."""
        server = int((self._data / "postmaster.pid").read_text().split()[0])
        # The server process first, since it restarts the others.
        children = Path(f"/proc/{server}/task/{server}/children")
        processes = [server]
        os.kill(server, SIGSTOP)
        try:
            for child in map(int, children.read_text().split()):
                with suppress(ProcessLookupError):
                    os.kill(child, SIGSTOP)
                    processes.append(child)
            yield
        finally:
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, SIGCONT)

    def save(self, folder: Path) -> None:
        """Save all its databases to a new folder, which other clusters can copy."""
        self._run("pg_ctl", "stop", *WAIT, "--silent", "--mode=fast")
        shutil.copytree(self._data, folder)
        self.start()

    def execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def create_database(self, template: str = "template0", name: str = "") -> str:
        """Create a database, empty or a copy of another one, and return its name."""
        self._databases += 1
        name = name or f"database_{self._databases}"
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def _own(self, path: Path) -> None:
        """Change the owner to the account that the server runs as."""
        if self._account:
            shutil.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _run(self, program: str, *arguments: str) -> None:
        """Run a program on the cluster, not as root, which PostgreSQL refuses."""
        account: dict[str, Any] = {}
        if self._account:
            account = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        # The server that pg_ctl starts inherits the output, so a pipe would not end before the server does.
        with (self._folder / "output").open("w+") as output:
            done = subprocess.run(
                [str(self._programs / program), f"--pgdata={self._data}", *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **account,
            )
        if done.returncode:
            log = self._folder / "log"
            text = (self._folder / "output").read_text() + (log.read_text() if log.exists() else "")
            raise RuntimeError(f"{program} {' '.join(arguments)} failed:\n{text}")


@contextmanager
def another_session() -> Iterator[psycopg.Connection]:
    """A session of its own in the database of the tests that run in this process."""
    parameters = connection.get_connection_params()
    address = {name: parameters[name] for name in ("dbname", "user", "password", "host", "port") if name in parameters}
    with psycopg.connect(**address, autocommit=True) as session:
        yield session


def postgresql_version() -> str:
    """The version of the programs."""
    output = subprocess.run(
        [programs.require("pg_ctl"), "--version"], check=True, capture_output=True, text=True
    ).stdout
    return output.split()[2]


def _account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("neither of the accounts postgres and nobody exists, and PostgreSQL does not run as root")
