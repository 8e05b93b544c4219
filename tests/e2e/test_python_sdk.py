"""The official Python SDK with local evaluation and real-time updates: it receives changes without polling."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.changes import CHANGES, Change, banner, write_as_flagsmith
from tests.e2e.python_sdk import Client
from tests.support.api import Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e


@pytest.fixture
def start_client(tenant: Tenant) -> Iterator[Callable[[], Client]]:
    clients: list[Client] = []

    def start() -> Client:
        client = Client.of(tenant, tenant.api.url)
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.event_stream_thread.stop()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_python_sdk__admin_changes_something__receives_it_without_polling(
    change: Change, tenant: Tenant, start_client: Callable[[], Client]
) -> None:
    make_change = change.prepare(tenant)
    client = start_client()
    assert client.seen() == change.before

    make_change()

    client.wait_until(lambda: client.seen() == change.after)
    # The event on connect contained exactly the version of the client's document.
    assert client.fetches == 2
    assert not hasattr(client, "environment_data_polling_manager_thread")


def test_python_sdk__version_chosen_by_flagsmith__fetched_once(
    server: ServerProcess, tenant: Tenant, start_client: Callable[[], Client]
) -> None:
    feature = banner(tenant)
    write_as_flagsmith(server, tenant, feature, enabled=False)
    client = start_client()

    write_as_flagsmith(server, tenant, feature, enabled=True)

    client.wait_until(lambda: client.seen()[0])
    # Neither the event on connect nor the event of the change caused a second fetch of the same version.
    tenant.change(feature, enabled=False)
    client.wait_until(lambda: not client.seen()[0])
    assert client.fetches == 3
