"""Fixtures of the wire protocol's tests: real server processes of both servers."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests

from realtime.types import first_readable
from tests.support.patience import PATIENCE
from tests.support.server import MigratedSQLite, ServerProcess

TOKEN = "publisher-t0ken"

FLAVOURS = ["uvicorn", "daphne"]

REPEAT_SECONDS = 1.0

# Short intervals. Other tests check the defaults.
SHORT_INTERVALS = {
    "SSE_AUTHENTICATION_TOKEN": TOKEN,
    "REALTIME_KEEPALIVE_SECONDS": "0.5",
    "REALTIME_REPEAT_SECONDS": str(REPEAT_SECONDS),
}


@pytest.fixture(scope="module", params=FLAVOURS)
def server(
    request: pytest.FixtureRequest, sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server with keep-alives each half second, whose streams do not end by themselves."""
    folder = tmp_path_factory.mktemp(request.param)
    with ServerProcess(sqlite_template.copy(folder) | SHORT_INTERVALS, flavour=request.param) as server:
        yield server


@pytest.fixture(scope="module", params=FLAVOURS)
def short_streams(
    request: pytest.FixtureRequest, sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server whose streams end after 3 s. On a slow machine, nothing else may happen in that time."""
    variables = sqlite_template.copy(tmp_path_factory.mktemp(request.param)) | SHORT_INTERVALS
    with ServerProcess({**variables, "REALTIME_STREAM_SECONDS": "3"}, flavour=request.param) as server:
        yield server


_keys = itertools.count()
_START = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Publisher:
    """An environment of an external publisher, which needs no project."""

    def __init__(self, server: ServerProcess) -> None:
        self.key = f"environment-{next(_keys)}"
        self._server = server
        self._updated_at = _START

    def publish(self, by: timedelta = timedelta(milliseconds=1)) -> str:
        """Post a newer version, and return the expected data of the event."""
        self._updated_at = first_readable(self._updated_at + by)
        self.post(self._updated_at)
        since = self._updated_at - datetime(1970, 1, 1, tzinfo=UTC)
        return f'{{"updated_at": {since.days * 86400 + since.seconds}.{since.microseconds:06d}}}'

    def post(self, updated_at: datetime) -> None:
        response = requests.post(
            f"{self._server.url}/sse/environments/{self.key}/queue-change",
            json={"updated_at": updated_at.isoformat()},
            headers={"Authorization": f"Token {TOKEN}"},
            timeout=PATIENCE,
        )
        assert response.status_code == 202, response.text


@pytest.fixture
def environment(server: ServerProcess) -> Publisher:
    """An environment with a posted version."""
    publisher = Publisher(server)
    publisher.publish()
    return publisher
