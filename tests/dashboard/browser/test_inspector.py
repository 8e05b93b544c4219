"""The inspector page in a browser, on a real server: open streams, and the delivery of an event."""

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser.conftest import Person
from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess


def test_inspector__two_clients_and_a_toggle__streams_event_cause_and_own_stream(
    window: Page, tenant: Tenant, base_path: str, server: ServerProcess, person: Person
) -> None:
    feature = tenant.add_feature("banner")
    window.goto(f"{base_path}live/")
    tries = window.locator("[data-try]")
    streams = window.locator("[data-streams]")
    expect(window.locator("[data-windows]")).to_have_text("1")
    expect(streams).to_have_text("0")
    tries.get_by_role("button", name="Connect", exact=True).click()
    expect(tries.get_by_role("status")).to_have_text("Connected")
    key = tenant.environment.key
    with sse.connect(server.port, key) as one, sse.connect(server.port, key) as other:
        for stream in (one, other):
            stream.next_event()
        expect(streams).to_have_text("3")
        tenant.change(feature["id"], enabled=True)
        version = tenant.version()
        newest = window.locator(".events > li").first
        expect(newest).to_contain_text(str(version))
        expect(newest).to_contain_text("3 streams")
        expect(newest).to_contain_text("Flag state updated for feature: banner")
        expect(newest).to_contain_text(person.email)
        expect(newest).to_contain_text("p50")
        # The server repeats an event after a while.
        received = tries.get_by_role("listitem").filter(has_text="ms after the change").first
        expect(received).to_contain_text("event: environment_updated")
        expect(received).to_contain_text(str(version))
        assert one.event_after(version - Decimal(1)).updated_at == version

        # The table stays open when the panel is replaced.
        window.get_by_text("As a table").click()
        tries.get_by_role("button", name="Disconnect").click()
        expect(tries.get_by_role("status")).to_have_text("Disconnected")
        expect(streams).to_have_text("2")
        expect(window.get_by_role("columnheader", name="Minute (UTC)")).to_be_visible()
        tries.get_by_role("button", name="Connect", exact=True).click()
        expect(streams).to_have_text("3")
    expect(streams).to_have_text("1")
    # The next page closes this page's stream and opens its own.
    window.get_by_role("link", name="Features", exact=True).click()
    window.get_by_role("heading", name="Features", level=1).wait_for()


@pytest.mark.slow
def test_inspector__real_time_off_and_on__not_sent_and_switches_listed_as_the_stream_receives(
    window: Page, tenant: Tenant, base_path: str, server: ServerProcess, person: Person
) -> None:
    feature = tenant.add_feature("banner")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=False)
        tenant.change(feature["id"], enabled=True)
        window.goto(f"{base_path}live/")
        entries = window.locator(".events > li")
        expect(entries.nth(0)).to_contain_text("Flag state updated for feature: banner")
        expect(entries.nth(0)).to_contain_text("not sent")
        expect(entries.nth(1)).to_contain_text("Real-time updates turned off for project:")
        expect(entries.nth(1)).to_contain_text(person.email)
        expect(window.get_by_text("Nothing is sent")).to_be_visible()
        silent = tenant.version()
        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=True)
        # The stream has not received the two versions, and receives the one of the switch.
        assert stream.event_after(before).updated_at == tenant.version() > silent
        expect(entries.nth(0)).to_contain_text("Real-time updates turned on for project:")
        expect(entries.nth(0)).to_contain_text("latency p50")
        expect(window.get_by_text("Nothing is sent")).to_have_count(0)
    window.goto(f"/projects/{tenant.project}/audit-log/")
    switches = window.get_by_role("link", name="Real-time updates turned")
    expect(switches.nth(0)).to_contain_text("turned on")
    expect(switches.nth(1)).to_contain_text("turned off")


@pytest.mark.slow
def test_inspector__streams_with_wrong_keys__reason_and_answer(
    window: Page, tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    key = tenant.api.post(f"environments/{tenant.environment.key}/api-keys/", name="Backend")["key"]
    with sse.connect(server.port, key), sse.connect(server.port, "no-such-key"):
        window.goto(f"{base_path}live/")
        expect(window.locator("[data-streams]")).to_have_text("0")
        expect(window.get_by_text("1 stream uses the server-side key “Backend”")).to_be_visible()
        window.get_by_label("Key", exact=True).fill("no-such-key")
        window.get_by_role("button", name="Check").click()
        expect(
            window.get_by_role("status").filter(has_text="No environment that you may see has this key")
        ).to_be_visible()
        window.get_by_label("Key", exact=True).fill(key)
        window.get_by_role("button", name="Check").click()
        expect(window.get_by_role("status").filter(has_text="This is a server-side key")).to_have_text(
            re.compile("1 stream with this key is open and receives no events")
        )
    expect(window.get_by_text("uses the server-side key")).to_have_count(0)


@pytest.mark.slow
def test_inspector__axe_and_without_scripts__nothing_serious(
    axe: Callable[[str], None], plain_window: Page, tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        tenant.change(feature["id"], enabled=True)
        stream.event_after(before)
        axe(f"{base_path}live/")
        plain_window.goto(f"{base_path}live/")
        expect(plain_window.locator(".events > li").first).to_contain_text("Flag state updated")
        expect(plain_window.get_by_text("Needs JavaScript")).to_be_visible()
        expect(plain_window.get_by_text(f"/sse/environments/{tenant.environment.key}/stream")).to_be_visible()
