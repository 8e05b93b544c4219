"""What Flagsmith's terraform provider does to each of its resources: create, read, update, read, delete.

After each apply, a read has to give what was applied, with the same ids: then a plan has nothing to do.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.terraform import RESOURCES, Client, Fields, Gone, Resource, State, value
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.server import MigratedSQLite, ServerProcess

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def admin(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminAPI]:
    """Of one server for all; SQLite and uvicorn will do."""
    with ServerProcess(sqlite_template.copy(tmp_path_factory.mktemp("server"))) as server:
        yield AdminAPI.registered(server.url)


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES.keys())
def test_terraform__created_updated_and_deleted__each_plan_afterwards_has_nothing_to_do(
    resource: Resource, admin: AdminAPI
) -> None:
    tenant = Tenant.create(admin)
    client = Client(tenant)
    made = resource.create(client, resource.first)
    assert differences(resource.first, resource.read(client, made)) == {}
    made = resource.read(client, made)

    before = tenant.version()
    with sse.connect(port(admin), tenant.environment.key) as stream:
        changed = resource.update(client, made, resource.then)
        assert {name: changed[name] for name in ("id", "uuid") if name in made} == {
            name: made[name] for name in ("id", "uuid") if name in made
        }
        assert differences(resource.then, resource.read(client, made)) == {}
        assert (tenant.version() > before) == resource.speaks
        if resource.speaks:
            assert stream.event_after(before).updated_at > before

    # Applied once more, it is as it was, and no stream hears of it.
    read, before = resource.read(client, made), tenant.version()
    resource.update(client, read, resource.then)
    assert resource.read(client, made) == read
    assert tenant.version() == before

    resource.delete(client, made)
    if type(resource) is State:
        assert resource.read(client, made) == read
    else:
        with pytest.raises(Gone):
            resource.read(client, made)


def port(api: AdminAPI) -> int:
    return int(api.url.rpartition(":")[2])


def differences(wanted: Fields, state: Fields) -> dict[str, tuple[Any, Any]]:
    """Where a plan would find something to do. The provider takes null for what is zero."""
    pairs = {name: (content, shown(state.get(name), content)) for name, content in wanted.items()}
    return {name: pair for name, pair in pairs.items() if (pair[0] or None) != (pair[1] or None)}


def shown(read: Any, wanted: Any) -> Any:
    """Of a value only the column that its type names; of rules without conditions, no list of them."""
    if isinstance(wanted, dict) and "string_value" in wanted:
        column = {"int": "integer_value", "bool": "boolean_value"}.get(read["type"], "string_value")
        return value(type=read["type"], **{column: read[column]})
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        return [{name: each[name] for name in each if name in wanted[0]} for each in read]
    return read
