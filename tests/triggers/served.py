"""A world on a real server: calls go over HTTP, and what is said is heard on a socket."""

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
from tests.support import sse
from tests.support.api import TIMEOUT, VERSION_HEADER, AdminAPI
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess
from tests.triggers.change_requests import FAR
from tests.triggers.world import Body, World

TOKEN = "publisher-t0ken"

SETTINGS = {
    "SSE_AUTHENTICATION_TOKEN": TOKEN,
    # Every event is said once, so that each can be counted ...
    "REALTIME_REPEAT_SECONDS": "0",
    # ... and what is not sent when it happens is not found out later.
    "REALTIME_RECONCILE_SECONDS": "3600",
}


SEED = "import json; from tests.triggers import seeding; print(json.dumps(seeding.tenants({number})))"


# What the scheduler goes by. Nothing waits for a draft.
LIVE_FROM = "UPDATE workflows_core_plannedchange SET live_from = ? WHERE change_request_id = ?"
DUE_AT = "UPDATE workflows_core_changerequest SET due_at = ? WHERE id = ? AND due_at IS NOT NULL"


@dataclass(frozen=True)
class Thing:
    """What has nothing to it but its primary key."""

    pk: int


@dataclass(frozen=True)
class Place:
    """An environment."""

    pk: int
    name: str
    api_key: str
    server_key: str


@dataclass(frozen=True)
class Reading:
    """What an SDK gets of an environment, and the environment's two versions."""

    flags: Any
    document: Any
    """Without its ``updated_at``, which is below."""
    version: str
    """The header that SDKs compare with events: seconds since the epoch."""
    document_version: str
    """The document's ``updated_at``, in the same form."""
    revision: int

    @property
    def content(self) -> tuple[Any, Any]:
        return self.flags, self.document


class Ear:
    """An environment's stream, open and past what it says at first."""

    def __init__(self, port: int, key: str) -> None:
        self.stream = sse.connect(port, key)
        self.stream.next_comment()
        present = self.stream.next_block()
        assert present is not None
        self.first = present.fields.get("data", "")
        """The data of the first event, which says the present version; empty where a comment says why there is none."""
        self.said: list[str] = []
        """The data of the events since then."""

    def wait(self) -> None:
        """Wait for an event."""
        self.said.append(self._next())

    def until(self, marker: str) -> list[str]:
        """All that was said before the event that has this data."""
        while (data := self._next()) != marker:
            self.said.append(data)
        return self.said

    def _next(self) -> str:
        return self.stream.next_event().fields["data"]


class House:
    """A server, the people who call it, and a new tenant for whoever asks."""

    def __init__(self, server: ServerProcess, seeded: dict[str, Any]) -> None:
        self.server = server
        self.people = {name: Thing(each["pk"]) for name, each in seeded["people"].items()}
        # Connections that are kept open.
        self.clients = {name: AdminAPI(server.url, each["token"]) for name, each in seeded["people"].items()}
        self.anonymous = AdminAPI(server.url)
        self._tenants = iter(seeded["tenants"])

    def world(self) -> "ServedWorld":
        return ServedWorld(self, next(self._tenants))

    def database(self) -> closing[sqlite3.Connection]:
        file = Path(self.server.variables["VAR_DIR"]) / "db.sqlite3"
        return closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None))

    def revision(self, environment: Place) -> int:
        """By which what SDKs read is cached; no call tells it."""
        with self.database() as database:
            rows = database.execute("SELECT revision FROM environments_environment WHERE id = ?", [environment.pk])
            return int(rows.fetchone()[0])


@contextmanager
def house(variables: dict[str, str], tenants: int) -> Iterator[House]:
    """Start a server on this database, with so many tenants in it."""
    server = ServerProcess(variables | SETTINGS)
    seeded = json.loads(server.manage("shell", "-c", SEED.format(number=tenants)).splitlines()[-1])
    with server:
        yield House(server, seeded)


class ServedWorld(World):
    """A tenant of a house."""

    def __init__(self, house: House, tenant: dict[str, Any]) -> None:
        self.house = house
        super().__init__(
            house.people["admin"],
            house.clients["admin"],
            Thing(tenant["organisation"]),
            Thing(tenant["project"]),
            *(Place(**environment) for environment in tenant["environments"]),
        )

    @property
    def environments(self) -> dict[str, Place]:
        return {"A": self.a, "B": self.b}

    # Who calls.

    @property
    def member(self) -> Thing:
        return self.house.people["member"]

    @property
    def approver(self) -> AdminAPI:
        """Another admin of the organisation."""
        return self.house.clients["approver"]

    @cached_property
    def master(self) -> AdminAPI:
        """A script, with a master API key."""
        client = AdminAPI(self.house.server.url)
        client.session.headers["Authorization"] = f"Api-Key {self.master_key['key']}"
        return client

    def answer(
        self, method: str, path: str, body: Body, client: AdminAPI, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        answer = client.response(method, path, body, headers)
        return answer.status_code, answer.content

    def sdk(self, method: str, path: str, body: Body = None, key: str = "") -> Any:
        """An SDK's call, to environment A where no other key is given, which must succeed."""
        return self.call(method, path, body, self.house.anonymous, **{"X-Environment-Key": key or self.a.api_key})

    # What SDKs read.

    def version(self, environment: Place) -> str:
        """The environment's version: seconds since the epoch, as the header says it."""
        return self._flags(environment).headers[VERSION_HEADER]

    def read(self, environment: Place) -> Reading:
        flags = self._flags(environment)
        document = self.sdk("GET", "environment-document/", key=environment.server_key)
        return Reading(
            flags.json(),
            {name: value for name, value in document.items() if name != "updated_at"},
            flags.headers[VERSION_HEADER],
            epoch_seconds(datetime.fromisoformat(document["updated_at"])),
            self.house.revision(environment),
        )

    def _flags(self, environment: Place) -> requests.Response:
        headers = {"X-Environment-Key": environment.api_key}
        answer = self.house.anonymous.response("GET", "flags/", headers=headers)
        answer.raise_for_status()
        return answer

    # What is said.

    @contextmanager
    def listening(self, *keys: str) -> Iterator[list[Ear]]:
        """Listen to these environments' streams while this is open."""
        with ExitStack() as streams:
            ears = [Ear(self.house.server.port, key) for key in keys]
            for ear in ears:
                streams.callback(ear.stream.close)
            yield ears

    def mark(self) -> None:
        """Make an event in each environment: the project gets another name, and real time is on from then on."""
        self.call("PATCH", self.of_project, {"name": "Marked", "enable_realtime_updates": True})

    def mark_dead(self, key: str) -> str:
        """Make an event for a key that no environment has any more, as an external publisher may; the event's data."""
        now = first_readable(datetime.now(UTC))
        answer = requests.post(
            f"{self.house.server.url}/sse/environments/{key}/queue-change",
            json={"updated_at": now.isoformat()},
            headers={"Authorization": f"Token {TOKEN}"},
            timeout=TIMEOUT,
        )
        assert answer.status_code == 202, answer.text
        return data(epoch_seconds(now))

    # What the scheduler does.

    def schedule(self, feature: Any = None) -> Any:
        """Commit a change request for a day that is far away, which turns on the feature (``feature``) in A."""
        return self.commit(self.draft(FAR, feature))

    def let_come(self, *requests: Any) -> Any:
        """Let the time of all these come at once, one after the other, and wait until the last one is live."""
        now = datetime.now(UTC).replace(tzinfo=None)
        with self.house.database() as database:
            database.execute("BEGIN IMMEDIATE")
            for place, request in enumerate(requests, -len(requests)):
                when = str(now + timedelta(milliseconds=place))
                database.execute(LIVE_FROM, [when, request["id"]])
                database.execute(DUE_AT, [when, request["id"]])
            database.execute("COMMIT")
        self.wait_until_live(requests[-1])

    def wait_until_live(self, request: Any) -> None:
        """Wait until the scheduler says that it has made something of the request live."""

        def is_live() -> bool:
            said = self.said_of(request)
            return any(each["event"] == "change_request_published" and each["feature_states"] for each in said)

        self.house.server.process.wait_until(is_live, PATIENCE)

    def said_of(self, request: Any) -> list[dict[str, Any]]:
        """What the server's log has of the request."""
        lines = [json.loads(line) for line in self.house.server.log.splitlines() if '"change_request"' in line]
        return [line for line in lines if line["change_request"] == request["id"]]


def data(version: str) -> str:
    """The data of the event that says this version."""
    return f'{{"updated_at": {version}}}'
