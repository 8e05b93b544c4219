"""Change requests in a browser: schedule, commit, delete; streams receive the event and SDKs the change."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.api import Tenant, text
from tests.support.server import ServerProcess


def propose(tenant: Tenant, feature: dict[str, Any], title: str) -> int:
    state = {"feature": feature["id"], "enabled": True, "feature_state_value": text("new")}
    path = f"environments/{tenant.environment.key}/create-change-request/"
    number: int = tenant.api.post(path, title=title, description="It is time.", feature_states=[state])["id"]
    return number


def test_change_request__scheduled_or_committed__countdown_or_event(
    window: Page, tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner")
    propose(tenant, feature, "Turn the banner on")
    window.goto(f"{base_path}change-requests/")
    window.get_by_role("link", name="Turn the banner on").click()
    window.get_by_role("heading", name="Turn the banner on", level=1).wait_for()
    row = window.get_by_role("row", name="Enabled")
    expect(row.get_by_role("deletion")).to_have_text("Off")
    expect(row.get_by_role("insertion")).to_have_text("On")

    later = datetime.now(UTC) + timedelta(hours=5, minutes=30)
    window.get_by_label("Another time, in UTC").fill(f"{later:%Y-%m-%dT%H:%M}")
    window.get_by_role("button", name="Set the time").click()
    expect(window.get_by_text("Its time is set.")).to_be_visible()
    window.get_by_role("button", name="Commit for that time").click()
    expect(window.get_by_text("Committed. It goes live at its time.")).to_be_visible()
    expect(window.locator("time[data-countdown]").first).to_contain_text("in 5 h")
    assert tenant.flags()["banner"] == (False, None)
    window.get_by_role("link", name="Unschedule and delete").click()
    window.get_by_role("button", name="Unschedule and delete").click()
    expect(window.get_by_text("will not go live: it is deleted.")).to_be_visible()

    propose(tenant, feature, "At once")
    window.goto(f"{base_path}change-requests/")
    window.get_by_role("link", name="At once").click()
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        window.get_by_role("button", name="Commit: live now").click()
        stream.event_after(before)
    expect(window.get_by_text("Committed: it is live.")).to_be_visible()
    assert tenant.flags()["banner"] == (True, "new")


def test_change_request__scheduled_in_six_seconds__open_page_shows_it_live(
    window: Page, tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner")
    before = tenant.version()
    committed = tenant.schedule(feature["id"], datetime.now(UTC) + timedelta(seconds=6), "later")
    with sse.connect(server.port, tenant.environment.key) as stream:
        window.goto(f"{base_path}change-requests/{committed['id']}/")
        stream.event_after(before)
    # The page reloads after the stream's event.
    expect(window.get_by_text("Went live: banner")).to_be_visible()
    expect(window.locator("time[data-countdown]")).to_have_count(0)


@pytest.mark.slow
def test_change_requests__axe_and_without_scripts__nothing_serious(
    axe: Callable[[str], None], plain_window: Page, tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner")
    pk = propose(tenant, feature, "Turn the banner on, with a title that is so long that it has to be broken somewhere")
    propose(tenant, tenant.add_feature("a_long_feature_name_without_any_place_to_break_it_somewhere"), "Another")
    tenant.schedule(feature["id"], datetime.now(UTC) + timedelta(days=3), "later")
    for path in ("?show=all", f"{pk}/", f"{pk}/edit/"):
        axe(f"{base_path}change-requests/{path}")
    plain_window.goto(f"{base_path}change-requests/{pk}/edit/")
    plain_window.get_by_label("Title").fill("Shorter")
    plain_window.get_by_role("button", name="Save").click()
    plain_window.get_by_role("heading", name="Shorter").wait_for()
    plain_window.get_by_role("button", name="Commit: live now").click()
    expect(plain_window.get_by_text("Committed: it is live.")).to_be_visible()
    assert tenant.flags()["banner"] == (True, "new")
