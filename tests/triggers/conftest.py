from collections.abc import Iterator

import pytest

from tests.support.server import MigratedSQLite
from tests.triggers.server import StreamedWorld, TenantServer, tenant_server


@pytest.fixture(scope="session")
def served(
    request: pytest.FixtureRequest, sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TenantServer]:
    """One server for all tests of this folder, with a tenant for each."""
    tenants = sum("served" in getattr(item, "fixturenames", ()) for item in request.session.items)
    with tenant_server(sqlite_template.copy(tmp_path_factory.mktemp("triggers")), tenants) as server:
        yield server


@pytest.fixture
def world(served: TenantServer) -> StreamedWorld:
    return served.world()
