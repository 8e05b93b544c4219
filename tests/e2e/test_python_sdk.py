"""The official Python SDK, local evaluation with real time on: it has what an admin changes, and never polls."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flagsmith import Flagsmith

from tests.e2e.changes import CHANGES, FEATURE, IDENTITY, TRAITS, Change, Seen
from tests.support.api import Tenant

pytestmark = pytest.mark.e2e

# From the Admin API's call to the new value in the SDK. It takes milliseconds; a machine of CI may be busy.
DEADLINE = 10

A_YEAR = 365 * 86_400


class Client(Flagsmith):
    """The SDK, with a bell that rings after each fetch of the environment document."""

    def __init__(self, **options: Any) -> None:
        self.fetches = 0
        self.fetched = threading.Condition()
        super().__init__(**options)

    def update_environment(self) -> None:
        super().update_environment()
        with self.fetched:
            self.fetches += 1
            self.fetched.notify_all()

    def seen(self) -> Seen:
        flag = self.get_identity_flags(IDENTITY, dict(TRAITS)).get_flag(FEATURE)
        return flag.enabled, flag.value

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for fetches until the condition holds."""
        with self.fetched:
            assert self.fetched.wait_for(condition, DEADLINE), self.seen()


@pytest.fixture
def start_client(tenant: Tenant) -> Iterator[Callable[[], Client]]:
    clients: list[Client] = []

    def start() -> Client:
        client = Client(
            environment_key=tenant.environment.server_key,
            api_url=f"{tenant.api.url}/api/v1/",
            realtime_api_url=tenant.api.url,
            enable_local_evaluation=True,
            enable_realtime_updates=True,
            environment_refresh_interval_seconds=A_YEAR,
        )
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
