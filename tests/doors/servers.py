"""The doors: servers in processes of their own, on one database, and how a request takes each of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.doors import tenants
from tests.doors.table import Row
from tests.doors.tenants import Tenants
from tests.metrics.scraped import TOKEN, Scrape, scrape
from tests.support.patience import PATIENCE
from tests.support.relay import RelayServer
from tests.support.server import MigratedSQLite, ServerProcess


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    """By name in lower case; ``Vary`` sorted, and without those that depend on the server and on its connection."""
    body: bytes

    OF_CONNECTION = frozenset(("date", "server", "connection", "transfer-encoding"))


@dataclass(frozen=True)
class Door:
    name: str
    port: int
    is_plain: bool = True
    """False: the request's body is announced as one that the shortcuts pass to the application."""

    def send(self, row: Row, keys: dict[str, str]) -> Answer:
        """The answer; of a conditional request, that to the second one, with the validator of the first one's."""
        headers = {name: keys.get(value, value) for name, value in row.headers.items()}
        if row.bearer:
            headers["Authorization"] = f"Bearer {keys[row.bearer]}"
        for name, validator in row.conditions.items():
            headers[name] = self._exchange(row, headers).headers[validator]
        return self._exchange(row, headers)

    def _exchange(self, row: Row, headers: dict[str, str]) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.putrequest(row.method, row.path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": "localhost", **headers}.items():
                connection.putheader(name, value.encode("latin-1"))
            self._send_body(connection, row.content)
            response = connection.getresponse()
            pairs = [(name.lower(), value) for name, value in response.getheaders()]
            assert len(dict(pairs)) == len(pairs), f"repeated headers: {pairs}"
            own = {name: value for name, value in pairs if name not in Answer.OF_CONNECTION}
            if "vary" in own:
                own["vary"] = ", ".join(sorted(own["vary"].lower().split(", ")))
            return Answer(response.status, own, response.read())
        finally:
            connection.close()

    def _send_body(self, connection: HTTPConnection, content: bytes | None) -> None:
        if content is None or self.is_plain:
            # A GET has none, unless it must not be plain.
            if content is not None or not self.is_plain:
                connection.putheader("Content-Length", str(len(content or b"")))
            connection.endheaders(content or None)
            return
        chunk = b"%x\r\n%b\r\n" % (len(content), content) if content else b""
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(chunk + b"0\r\n\r\n")


@dataclass(frozen=True)
class Doors:
    connection: Door
    django: Door
    daphne: Door
    django_on_daphne: Door
    relay: Door
    relay_by_asgi: Door
    tenants: Tenants

    def send(self, door: Door, row: Row) -> Answer:
        self.tenants.forget()
        return door.send(row, self.tenants.keys)

    def metrics(self) -> Scrape:
        """The metrics of the product's server."""
        return scrape(self.connection.port)


@contextmanager
def started(template: MigratedSQLite, folder: Path) -> Iterator[Doors]:
    variables = template.copy(folder) | {"REALTIME_METRICS_TOKEN": TOKEN, "ALLOWED_HOSTS": "localhost,127.0.0.1"}
    daphne = ServerProcess(variables, flavour="daphne")
    with ServerProcess(variables) as product, daphne:
        made = tenants.create(product.url, folder / "db.sqlite3")
        with RelayServer(folder, f"{product.url}/api/v1", *made.served) as relay:
            yield Doors(
                Door("connection", product.port),
                Door("Django on uvicorn", product.port, is_plain=False),
                Door("daphne", daphne.port),
                Door("Django on daphne", daphne.port, is_plain=False),
                Door("relay", relay.port),
                Door("relay by ASGI", relay.port, is_plain=False),
                made,
            )
