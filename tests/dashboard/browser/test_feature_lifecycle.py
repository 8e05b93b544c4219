"""The lifecycle of a feature in a browser: create, archive, restore, delete."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess


def test_feature__created_archived_restored_and_deleted__stream_sdk_and_other_window_follow(
    window: Page, new_window: Callable[..., Page], tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    tenant.add_feature("search")
    other = new_window()
    other.goto(f"{base_path}features/")
    window.goto(f"{base_path}features/")
    window.get_by_role("link", name="New feature").click()
    window.get_by_label("Name").fill("search")
    window.get_by_label("Value").fill("12")
    window.get_by_label("On in all environments from the beginning").check()
    window.get_by_role("button", name="Create feature").click()
    expect(window.get_by_role("alert")).to_contain_text("The feature was not created.")
    expect(window.get_by_label("Value")).to_have_value("12")
    window.get_by_label("Name").fill("banner")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        window.get_by_role("button", name="Create feature").click()
        window.get_by_role("heading", name="banner", level=1).wait_for()
        created = stream.event_after(before).updated_at
        assert tenant.flags()["banner"] == (True, 12)
        expect(other.get_by_role("switch", name="banner")).to_be_checked()
        other.get_by_role("link", name="banner", exact=True).click()
        other.get_by_role("heading", name="banner", level=1).wait_for()

        window.get_by_role("link", name="Settings", exact=True).click()
        window.get_by_role("button", name="Archive").click()
        window.get_by_text("banner is archived.").wait_for()
        window.get_by_role("link", name="Features", exact=True).first.click()
        expect(window.get_by_role("link", name="search", exact=True)).to_be_visible()
        expect(window.get_by_role("link", name="banner", exact=True)).to_have_count(0)
        assert tenant.flags()["banner"] == (True, 12)
        window.get_by_label("Archived").check()
        window.get_by_role("button", name="Restore banner").click()
        window.get_by_text("banner is back in the list.").wait_for()
        window.get_by_label("Archived").uncheck()

        window.get_by_role("link", name="banner", exact=True).click()
        window.get_by_role("link", name="Settings", exact=True).click()
        window.get_by_role("link", name="Delete…").click()
        window.get_by_role("link", name="Keep it").click()
        window.get_by_role("link", name="banner", exact=True).click()
        window.get_by_role("link", name="Settings", exact=True).click()
        assert tenant.flags()["banner"] == (True, 12)
        assert tenant.version() == created
        window.get_by_role("link", name="Delete…").click()
        window.get_by_role("button", name="Delete the feature").click()
        window.get_by_text("banner is deleted.").wait_for()
        assert stream.event_after(created).updated_at == tenant.version()
    assert set(tenant.flags()) == {"search"}
    expect(window).to_have_url(f"{server.url}{base_path}features/")
    expect(window.get_by_role("link", name="banner", exact=True)).to_have_count(0)
    other.get_by_role("heading", name="There is no such page").wait_for()
