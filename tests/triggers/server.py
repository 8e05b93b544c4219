"""A server for all tests of this folder, with a tenant for each: calls go over HTTP, events come on a socket."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from realtime.types import epoch_seconds, first_readable
from tests.operations.objects import FAR, change_request
from tests.operations.world import World
from tests.support import sse
from tests.support.api import TIMEOUT, VERSION_HEADER, AdminAPI
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess

TOKEN = "publisher-t0ken"

SETTINGS = {
    "SSE_AUTHENTICATION_TOKEN": TOKEN,
    # Each event is sent once, so that events can be counted.
    "REALTIME_REPEAT_SECONDS": "0",
    # A change without an event is not found by the reconcile.
    "REALTIME_RECONCILE_SECONDS": "3600",
}

SEED = "import json; from tests.triggers import seeding; print(json.dumps(seeding.tenants({number})))"

# The scheduler finds due requests by these columns. A draft has no due_at.
SET_LIVE_FROM = "UPDATE workflows_core_plannedchange SET live_from = ? WHERE change_request_id = ?"
SET_DUE_AT = "UPDATE workflows_core_changerequest SET due_at = ? WHERE id = ? AND due_at IS NOT NULL"


@dataclass(frozen=True)
class Row:
    pk: int


@dataclass(frozen=True)
class Environment:
    pk: int
    name: str
    api_key: str
    server_key: str


@dataclass(frozen=True)
class Reading:
    """An SDK's view of an environment, and the environment's versions."""

    flags: Any
    document: Any
    """Without its ``updated_at``, which is ``document_version``."""
    version: str
    """The header that SDKs compare with events: seconds since the epoch."""
    document_version: str
    """The document's ``updated_at``, in the same form."""
    revision: int

    @property
    def content(self) -> tuple[Any, Any]:
        return self.flags, self.document


class Listener:
    """An open stream of an environment."""

    def __init__(self, port: int, key: str) -> None:
        self.stream = sse.connect(port, key)
        self.stream.next_comment()
        first = self.stream.next_block()
        assert first is not None
        self.first = first.fields.get("data", "")
        """The data of the first event, which has the version at the start; empty if a comment came instead."""
        self.received: list[str] = []
        """The data of all later events."""

    def wait(self) -> None:
        """Wait for an event."""
        self.received.append(self._next())

    def receive_until(self, marker: str) -> list[str]:
        """The data of all events before the event that has this data."""
        while (data := self._next()) != marker:
            self.received.append(data)
        return self.received

    def _next(self) -> str:
        return self.stream.next_event().fields["data"]


class TenantServer:
    """A server with a number of unused tenants, and clients of the people who belong to all of them."""

    def __init__(self, server: ServerProcess, seeded: dict[str, Any]) -> None:
        self.server = server
        self.people = {name: Row(person["pk"]) for name, person in seeded["people"].items()}
        # Their connections are kept open.
        self.clients = {name: AdminAPI(server.url, person["token"]) for name, person in seeded["people"].items()}
        self.anonymous = AdminAPI(server.url)
        self._tenants = iter(seeded["tenants"])

    def world(self) -> "StreamedWorld":
        """The next tenant."""
        return StreamedWorld(self, next(self._tenants))

    def database(self) -> closing[sqlite3.Connection]:
        file = Path(self.server.variables["VAR_DIR"]) / "db.sqlite3"
        return closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None))

    def revision(self, environment: Environment) -> int:
        """The key of the caches of SDK responses, which no endpoint returns."""
        with self.database() as database:
            rows = database.execute("SELECT revision FROM environments_environment WHERE id = ?", [environment.pk])
            return int(rows.fetchone()[0])


@contextmanager
def tenant_server(variables: dict[str, str], tenants: int) -> Iterator[TenantServer]:
    """Start a server on this database, with a number of tenants in it."""
    server = ServerProcess(variables | SETTINGS)
    seeded = json.loads(server.manage("shell", "-c", SEED.format(number=tenants)).splitlines()[-1])
    with server:
        yield TenantServer(server, seeded)


class StreamedWorld(World):
    """A tenant of a server."""

    def __init__(self, server: TenantServer, tenant: dict[str, Any]) -> None:
        self.server = server
        self.member = server.people["member"]
        super().__init__(
            server.people["admin"],
            Row(tenant["organisation"]),
            Row(tenant["project"]),
            *(Environment(**environment) for environment in tenant["environments"]),
        )

    @property
    def environments(self) -> dict[str, Environment]:
        return {"A": self.a, "B": self.b}

    def answer(self, method: str, path: str, body: Any, key: str) -> tuple[int, bytes]:
        client, headers = self.server.anonymous, {}
        match key:
            case "sdk":
                headers = {"X-Environment-Key": self.a.api_key}
            case "master":
                client = self.master
            case "approver":
                client = self.server.clients["approver"]
            case _:
                client = self.server.clients["admin"]
        answer = client.response(method, path, body, headers)
        return answer.status_code, answer.content

    @cached_property
    def master(self) -> AdminAPI:
        """A script, with a master API key."""
        client = AdminAPI(self.server.server.url)
        client.session.headers["Authorization"] = f"Api-Key {self.master_key['key']}"
        return client

    # The SDK API.

    def version(self, environment: Environment) -> str:
        """The environment's version as in the header: seconds since the epoch."""
        return self._read("flags/", environment.api_key).headers[VERSION_HEADER]

    def read(self, environment: Environment) -> Reading:
        flags = self._read("flags/", environment.api_key)
        document = self._read("environment-document/", environment.server_key).json()
        return Reading(
            flags.json(),
            {name: value for name, value in document.items() if name != "updated_at"},
            flags.headers[VERSION_HEADER],
            epoch_seconds(datetime.fromisoformat(document["updated_at"])),
            self.server.revision(environment),
        )

    def _read(self, path: str, key: str) -> requests.Response:
        answer = self.server.anonymous.response("GET", path, headers={"X-Environment-Key": key})
        answer.raise_for_status()
        return answer

    # Streams.

    @contextmanager
    def listening(self, *keys: str) -> Iterator[list[Listener]]:
        """Keep the streams of these environments open."""
        with ExitStack() as streams:
            listeners = [Listener(self.server.server.port, key) for key in keys]
            for listener in listeners:
                streams.callback(listener.stream.close)
            yield listeners

    def mark(self) -> None:
        """Make an event in each environment: rename the project and enable real time."""
        self.call("PATCH", "projects/{project}/", {"name": "Marked", "enable_realtime_updates": True})

    def mark_deleted(self, key: str) -> str:
        """Publish an event for the key of a deleted environment, as an external publisher; the event's data."""
        now = first_readable(datetime.now(UTC))
        answer = requests.post(
            f"{self.server.server.url}/sse/environments/{key}/queue-change",
            json={"updated_at": now.isoformat()},
            headers={"Authorization": f"Token {TOKEN}"},
            timeout=TIMEOUT,
        )
        assert answer.status_code == 202, answer.text
        return event_data(epoch_seconds(now))

    # The scheduler.

    def draft(self, feature: Any) -> Any:
        """A change request that enables the feature in A on a day far away."""
        return self.call("POST", "environments/{a}/create-change-request/", change_request(FAR, feature["id"]))

    def schedule(self, feature: Any) -> Any:
        return self.call("POST", f"features/workflows/change-requests/{self.draft(feature)['id']}/commit/")

    def make_due(self, *requests: Any) -> None:
        """Make all these requests due, one after the other, and wait until the last one is live."""
        now = datetime.now(UTC).replace(tzinfo=None)
        with self.server.database() as database:
            database.execute("BEGIN IMMEDIATE")
            for milliseconds, request in enumerate(requests, -len(requests)):
                due = str(now + timedelta(milliseconds=milliseconds))
                database.execute(SET_LIVE_FROM, [due, request["id"]])
                database.execute(SET_DUE_AT, [due, request["id"]])
            database.execute("COMMIT")
        self._wait_until_live(requests[-1])

    def _wait_until_live(self, request: Any) -> None:
        def is_live() -> bool:
            lines = self.logged(request)
            return any(line["event"] == "change_request_published" and line["feature_states"] for line in lines)

        self.server.server.process.wait_until(is_live, PATIENCE)

    def logged(self, request: Any) -> list[dict[str, Any]]:
        """The lines of the server's log about a change request."""
        lines = [json.loads(line) for line in self.server.server.log.splitlines() if '"change_request"' in line]
        return [line for line in lines if line["change_request"] == request["id"]]


def event_data(version: str) -> str:
    return f'{{"updated_at": {version}}}'
