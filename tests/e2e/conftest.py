"""Fixtures: a real server for the end-to-end tests. Each test has its own tenant."""

from collections.abc import Iterator

import pytest

from tests.support.api import AdminAPI, Tenant
from tests.support.server import ServerProcess


@pytest.fixture(
    scope="session",
    params=["uvicorn on postgresql", *(pytest.param(name, marks=pytest.mark.slow) for name in ("uvicorn", "daphne"))],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    flavour, _, database = request.param.partition(" on ")
    template = request.getfixturevalue(f"{database or 'sqlite'}_template")
    with ServerProcess(template.copy(tmp_path_factory.mktemp("server")), flavour=flavour) as server:
        yield server


@pytest.fixture(scope="session")
def api(server: ServerProcess) -> AdminAPI:
    """An API client that is signed in. One for the session, because registration is slow: it hashes a password."""
    return AdminAPI.registered(server.url)


@pytest.fixture
def tenant(api: AdminAPI) -> Tenant:
    return Tenant.create(api)
