"""The audit log in a browser: an entry shows the event that a stream received."""

import pytest
from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow


def test_log__a_toggle__its_entry_has_the_streams_event(window: Page, tenant: Tenant, server: ServerProcess) -> None:
    feature = tenant.add_feature("banner")
    window.goto(f"/projects/{tenant.project}/audit-log/")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        tenant.change(feature["id"], enabled=True)
        version = stream.event_after(before).updated_at
    window.get_by_label("Text").fill("state updated")
    window.get_by_role("button", name="Search").click()
    entries = window.locator(".log .row")
    expect(entries).to_have_count(1)
    expect(entries.get_by_text(str(version))).to_be_visible()
    window.get_by_role("link", name="Flag state updated for feature: banner").first.click()
    expect(window.get_by_role("cell", name=str(version))).to_be_visible()
    expect(window.get_by_role("row", name="enabled false true")).to_be_visible()
    window.get_by_role("link", name="Feature", exact=True).click()
    window.get_by_role("heading", name="banner", level=1).wait_for()
