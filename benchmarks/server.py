"""The product under measurement: a real server on a core of its own, with a new database and the demo in it."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import cores
from benchmarks.admin import Admin
from benchmarks.streams import Target
from benchmarks.wire import microseconds
from tests.support import programs
from tests.support.api import VERSION_HEADER, AdminAPI
from tests.support.server import (
    Flavour,
    MigratedDatabase,
    MigratedSQLite,
    ServerProcess,
    manage,
    migrated_cluster,
    migrated_postgresql,
    migrated_sqlite,
)

# No stream ends of age while something is measured, unless that is what is measured.
STREAM_SECONDS = "3600"


@dataclass
class Product:
    """One or several servers of one database."""

    servers: list[ServerProcess]
    demo: dict[str, Any]
    """What ``manage.py seed_demo --json`` has printed."""

    @property
    def server(self) -> ServerProcess:
        """The first one."""
        return self.servers[0]

    @property
    def pids(self) -> list[int]:
        return [server.process.pid for server in self.servers]

    @property
    def key(self) -> str:
        """The client-side key of the demo's first environment."""
        return str(self.demo["environments"][0]["api_key"])

    @property
    def targets(self) -> list[Target]:
        """Its stream, at each of the servers."""
        return [Target(server.port, f"/sse/environments/{self.key}/stream") for server in self.servers]

    @property
    def api(self) -> AdminAPI:
        return AdminAPI(self.server.url, self.demo["token"])

    def admin(self) -> Admin:
        """Who toggles the demo's first feature in its first environment."""
        return Admin(self.server.port, self.demo["token"], self.key, self.demo["features"][0]["id"])

    def version(self) -> int:
        """The environment's present version, in microseconds."""
        answer = self.api.response("GET", "flags/", headers={"X-Environment-Key": self.key, "Authorization": ""})
        return microseconds(answer.headers[VERSION_HEADER])

    def add_features(self, number: int) -> None:
        """Let the project have so many features, on and off, with values of all types."""
        values = ("", "a text of usual length", "25", "true", '{"steps": ["profile", "team"]}')
        for index in range(len(self.demo["features"]), number):
            made = self.api.post(
                f"projects/{self.demo['project_id']}/features/",
                name=f"feature_{index}",
                default_enabled=index % 2 == 0,
                initial_value=values[index % len(values)],
            )
            self.demo["features"].append({"id": made["id"], "name": made["name"]})


@contextmanager
def product(
    *,
    database: str = "sqlite",
    flavour: Flavour = "uvicorn",
    processes: int = 1,
    on: list[int] = cores.SERVER,
    checkout: Path = programs.ROOT,
    stream_seconds: str | None = STREAM_SECONDS,
    **variables: str,
) -> Iterator[Product]:
    """Serve a new database with the demo, with this flavour, and these of the server's environment variables.

    ``checkout``: of the server's code, with SQLite. ``stream_seconds``: None for the server's own default. This process
    is on the clients' cores meanwhile.
    """
    cores.raise_file_limit()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        template: MigratedDatabase
        if database == "postgresql":
            template = migrated_postgresql(stack.enter_context(migrated_cluster()))
        elif checkout == programs.ROOT:
            template = migrated_sqlite()
        else:
            manage("migrate", "--verbosity=0", variables={"VAR_DIR": str(folder)}, checkout=checkout)
            template = MigratedSQLite(folder / "db.sqlite3")
        settings = {"LOG_LEVEL": "WARNING"} | template.copy(folder / "server") | variables
        servers = [ServerProcess(settings, flavour=flavour, checkout=checkout) for _ in range(processes)]
        for server in servers:
            del server.variables["REALTIME_STREAM_SECONDS"]
            if stream_seconds is not None:
                server.variables["REALTIME_STREAM_SECONDS"] = stream_seconds
        demo = json.loads(servers[0].manage("seed_demo", "--json"))
        with cores.on(on):
            for server in servers:
                stack.enter_context(server)
        stack.enter_context(cores.on(cores.CLIENT))
        yield Product(servers, demo)
