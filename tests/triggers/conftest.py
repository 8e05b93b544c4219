from collections.abc import Iterator

import pytest

from tests.support.server import MigratedSQLite
from tests.triggers.served import House, ServedWorld, house


@pytest.fixture(scope="session")
def served(
    request: pytest.FixtureRequest, sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """One server for all tests here, with a tenant for each of them."""
    tenants = sum("served" in getattr(item, "fixturenames", ()) for item in request.session.items)
    with house(sqlite_template.copy(tmp_path_factory.mktemp("triggers")), tenants) as served:
        yield served


@pytest.fixture
def world(served: House) -> ServedWorld:
    return served.world()
