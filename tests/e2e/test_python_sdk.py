"""The official Python SDK, local evaluation with real time on: it has what an admin changes, and never polls."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.changes import CHANGES, Change
from tests.e2e.python_sdk import Client
from tests.support.api import Tenant

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
def test_python_sdk__admin_changes_something__sees_it_without_polling(
    change: Change, tenant: Tenant, start_client: Callable[[], Client]
) -> None:
    act = change.prepare(tenant)
    client = start_client()
    assert client.seen() == change.before

    act()

    client.wait_until(lambda: client.seen() == change.after)
    # The event on connect held the version of the document that the client had, to the microsecond.
    assert client.fetches == 2
    assert not hasattr(client, "environment_data_polling_manager_thread")
