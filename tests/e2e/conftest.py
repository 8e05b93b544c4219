"""A real server for the end-to-end tests: each test has a tenant of its own in it."""

from collections.abc import Iterator

import pytest

from tests.support.api import AdminAPI, Tenant
from tests.support.server import MigratedSQLite, ServerProcess


@pytest.fixture(scope="session", params=["uvicorn", "daphne"])
def server(
    request: pytest.FixtureRequest, sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp(request.param))
    with ServerProcess(variables, flavour=request.param) as server:
        yield server


@pytest.fixture(scope="session")
def api(server: ServerProcess) -> AdminAPI:
    """Signed in. To register takes long, since that hashes a password."""
    return AdminAPI.registered(server.url)


@pytest.fixture
def tenant(api: AdminAPI) -> Tenant:
    return Tenant.create(api)
