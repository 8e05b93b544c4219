"""Changes by Flagsmith's Admin API reach the streams of the drop-in server and of the app."""

import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import pytest
import requests

from tests.e2e.python_sdk import Client
from tests.flagsmith.changes import CHANGES, Change
from tests.flagsmith.conftest import Plugged
from tests.support import programs, sse
from tests.support.api import TIMEOUT, Tenant
from tests.support.processes import Process

# Flagsmith's task processor polls once a second, and a change takes three tasks in sequence.
PATIENCE = 30

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(300)]


def now() -> Decimal:
    """The current time as a version: Flagsmith's versions are times by the clock of this machine."""
    return Decimal(time.time_ns()) / 1_000_000_000


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_plugged__admin_changes_something__event_on_the_stream_and_python_sdk_is_updated(
    change: Change, tenant: Tenant, plugged: Plugged, start_client: Callable[[], Client]
) -> None:
    act = change.prepare(tenant)
    client = start_client()
    assert client.seen() == change.before
    plugged.flagsmith.settle()
    with sse.connect(plugged.stream_port, tenant.environment.key) as stream:
        before = now()

        act()

        event = stream.event_after(before, timeout=PATIENCE)
    assert event.updated_at < now()
    client.wait_until(lambda: client.seen() == change.after, PATIENCE)
    assert not hasattr(client, "environment_data_polling_manager_thread")


def test_plugged__many_changes_in_quick_succession__python_sdk_has_the_last(
    tenant: Tenant, plugged: Plugged, start_client: Callable[[], Client]
) -> None:
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    client = start_client()

    for number in range(20):
        tenant.change(feature, enabled=number % 2 == 0, feature_state_value=f"value {number}")

    client.wait_until(lambda: client.seen() == (False, "value 19"), PATIENCE)


def test_plugged__admin_toggles_a_flag__curl_prints_the_event(tenant: Tenant, plugged: Plugged) -> None:
    toggle = CHANGES["toggle"].prepare(tenant)
    url = f"{plugged.stream_url}/sse/environments/{tenant.environment.key}/stream"
    process = Process([str(programs.require("curl")), "--silent", "--show-error", "--no-buffer", "--include", url])
    try:
        process.wait_for_log("text/event-stream")

        toggle()

        process.wait_for_log('data: {"updated_at": ', PATIENCE)
    finally:
        process.kill()
    assert process.log.startswith("HTTP/1.1 200")
    assert "event: environment_updated" in process.log


def test_plugged__setting_off__silent(tenant: Tenant, plugged: Plugged) -> None:
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    other = plugged.flagsmith.tenant(tenant.api)
    toggle_other = CHANGES["toggle"].prepare(other)
    with (
        sse.connect(plugged.stream_port, tenant.environment.key) as stream,
        sse.connect(plugged.stream_port, other.environment.key) as marker,
    ):
        stream.event_after(Decimal(0), PATIENCE)
        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=False)
        off = now()

        tenant.change(feature, enabled=True)

        # Flagsmith has raised the version, and a later event has reached other streams.
        wait_for_document(tenant, off)
        before = now()
        toggle_other()
        marker.event_after(before, PATIENCE)
        with pytest.raises(TimeoutError):
            stream.event_after(off, timeout=0.2)
        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=True)
        tenant.change(feature, enabled=False)
        stream.event_after(off, PATIENCE)


def wait_for_document(tenant: Tenant, moment: Decimal) -> None:
    """Wait until the document of the API is newer than this time."""
    deadline = time.monotonic() + PATIENCE
    while document_time(tenant) <= moment:
        assert time.monotonic() < deadline, "Flagsmith has not raised the version"


def document_time(tenant: Tenant) -> Decimal:
    key = {"X-Environment-Key": tenant.environment.server_key}
    answer = requests.get(f"{tenant.api.url}/api/v1/environment-document/", headers=key, timeout=TIMEOUT)
    return Decimal(datetime.fromisoformat(answer.json()["updated_at"]).timestamp())
