"""The calls of Flagsmith's Terraform provider for each resource: create, read, update, read, delete.

After each apply, a read has to return the applied fields with the same ids: then the next plan is empty.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.terraform import RESOURCES, Client, Fields, NotFoundError, Resource, State, value
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.server import MigratedSQLite, ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def admin(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminAPI]:
    """The admin of one server for all tests: uvicorn with SQLite."""
    with ServerProcess(sqlite_template.copy(tmp_path_factory.mktemp("server"))) as server:
        yield AdminAPI.registered(server.url)


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES.keys())
def test_terraform__created_updated_and_deleted__plans_are_empty(resource: Resource, admin: AdminAPI) -> None:
    tenant = Tenant.create(admin)
    client = Client(tenant)
    state = resource.create(client, resource.created)
    assert differences(resource.created, resource.read(client, state)) == {}
    state = resource.read(client, state)

    before = tenant.version()
    with sse.connect(port(admin), tenant.environment.key) as stream:
        changed = resource.update(client, state, resource.updated)
        assert {name: changed[name] for name in ("id", "uuid") if name in state} == {
            name: state[name] for name in ("id", "uuid") if name in state
        }
        assert differences(resource.updated, resource.read(client, state)) == {}
        assert (tenant.version() > before) == resource.causes_event
        if resource.causes_event:
            assert stream.event_after(before).updated_at > before

    # A second apply of the same fields changes nothing and causes no event.
    read, before = resource.read(client, state), tenant.version()
    resource.update(client, read, resource.updated)
    assert resource.read(client, state) == read
    assert tenant.version() == before

    resource.delete(client, state)
    if type(resource) is State:
        assert resource.read(client, state) == read
    else:
        with pytest.raises(NotFoundError):
            resource.read(client, state)


def port(api: AdminAPI) -> int:
    return int(api.url.rpartition(":")[2])


def differences(expected: Fields, state: Fields) -> dict[str, tuple[Any, Any]]:
    """The fields that a plan would change. The provider treats null and zero values as equal."""
    pairs = {name: (content, comparable(state.get(name), content)) for name, content in expected.items()}
    return {name: pair for name, pair in pairs.items() if (pair[0] or None) != (pair[1] or None)}


def comparable(read: Any, expected: Any) -> Any:
    """A value without the columns of other types, and rules without fields that ``expected`` does not have."""
    if isinstance(expected, dict) and "string_value" in expected:
        column = {"int": "integer_value", "bool": "boolean_value"}.get(read["type"], "string_value")
        return value(type=read["type"], **{column: read[column]})
    if isinstance(expected, list) and expected and isinstance(expected[0], dict):
        return [{name: each[name] for name in each if name in expected[0]} for each in read]
    return read
