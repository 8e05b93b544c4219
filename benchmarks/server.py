"""The server under measurement: the product on its own core, with a new database and the demo data."""

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
from tests.support.api import VERSION_HEADER, AdminAPI, EnvironmentOfTenant
from tests.support.relay import RelayServer
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

# By default no stream reaches its maximum duration during a measurement.
STREAM_SECONDS = "3600"


@dataclass
class Product:
    """One or several server processes of one database."""

    servers: list[ServerProcess]
    demo: dict[str, Any]
    """The output of ``manage.py seed_demo --json``."""

    @property
    def server(self) -> ServerProcess:
        """The first server."""
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
        """The environment's stream at each of the servers."""
        return [Target(server.port, f"/sse/environments/{self.key}/stream") for server in self.servers]

    @property
    def environment(self) -> EnvironmentOfTenant:
        keys = self.demo["environments"][0]
        return EnvironmentOfTenant(keys["id"], keys["name"], keys["api_key"], keys["server_key"])

    @property
    def api(self) -> AdminAPI:
        return AdminAPI(self.server.url, self.demo["token"])

    def admin(self) -> Admin:
        """An admin who toggles the demo's first feature in its first environment."""
        return Admin(self.server.port, self.demo["token"], self.key, self.demo["features"][0]["id"])

    def version(self) -> int:
        """The environment's current version, in microseconds."""
        answer = self.api.response("GET", "flags/", headers={"X-Environment-Key": self.key, "Authorization": ""})
        return microseconds(answer.headers[VERSION_HEADER])

    def add_features(self, number: int) -> None:
        """Add features to the project up to this number, enabled and disabled, with values of all types."""
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
    """Serve a new database with the demo data, with these environment variables.

    ``checkout``: the server's code, with SQLite. ``stream_seconds``: None for the server's default. This process is
    pinned to the clients' cores meanwhile.
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
        with cores.pinned_to(on):
            for server in servers:
                stack.enter_context(server)
        stack.enter_context(cores.pinned_to(cores.CLIENT))
        yield Product(servers, demo)


@contextmanager
def relay(served: Product, on: list[int] = cores.SERVER, **variables: str) -> Iterator[RelayServer]:
    """A relay in front of the product, with the code of the same checkout."""
    with tempfile.TemporaryDirectory() as folder, cores.pinned_to(on):
        url = f"{served.server.url}/api/v1"
        settings = {"REALTIME_STREAM_SECONDS": STREAM_SECONDS, "LOGGING": '{"log_level": "WARNING"}', **variables}
        held = RelayServer(Path(folder), url, served.environment, configuration=None, **settings)
        held.checkout = served.server.checkout
        with held, cores.pinned_to(cores.CLIENT):
            yield held
