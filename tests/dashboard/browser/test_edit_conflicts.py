"""Two users with the same form in two browsers: neither save undoes the other."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser.conftest import check_accessibility
from tests.dashboard.browser.test_feature import SAVED
from tests.support import sse
from tests.support.api import Tenant, text
from tests.support.server import ServerProcess


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def first(request: pytest.FixtureRequest, new_window: Callable[..., Page]) -> Page:
    return new_window(java_script_enabled=request.param)


def test_value__saved_after_another_user_turned_it_off__conflict_named_then_both_changes_saved(
    first: Page, new_window: Callable[..., Page], tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner", initial_value="old", default_enabled=True)["id"]
    second = new_window()
    first.goto(f"{base_path}features/{feature}/")
    value, on = first.get_by_role("textbox", name="Value"), first.get_by_role("switch", name="On", exact=True)
    value.fill("new")
    second.goto(f"{base_path}features/")
    second.get_by_role("switch", name="banner").click()
    # Wait for the response: until then the switch has this attribute.
    expect(second.locator("[data-before]")).to_have_count(0)
    assert tenant.flags()["banner"] == (False, "old")

    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        first.get_by_role("button", name="Save").click()
        expect(first.get_by_role("alert")).to_contain_text("The switch is off now.")
        expect(first.get_by_role("row", name="Switch on off on theirs")).to_be_visible()
        expect(first.get_by_role("row", name="Value “old” “old” “new” yours")).to_be_visible()
        assert tenant.flags()["banner"] == (False, "old")
        first.get_by_role("button", name="Edit further").click()
        expect(value).to_have_value("new")
        expect(on).not_to_be_checked()
        assert tenant.version() == before
        first.get_by_role("button", name="Save", exact=True).click()
        expect(first.get_by_text(SAVED)).to_be_visible()
        assert tenant.flags()["banner"] == (False, "new")
        assert stream.event_after(before).updated_at == tenant.version()


def test_override__saved_after_another_user_saved_it__conflict_named_then_replaced(
    first: Page, new_window: Callable[..., Page], tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner")["id"]
    segment = tenant.add_segment("staff", plan="staff")["id"]
    tenant.override(feature, segment, enabled=True, feature_state_value=text("old"))
    second = new_window()
    for page in (first, second):
        page.goto(f"{base_path}features/{feature}/overrides/{segment}/")
    forms = {page: page.locator(".opened") for page in (first, second)}
    forms[first].get_by_role("textbox", name="Value").fill("mine")
    forms[second].get_by_role("textbox", name="Value").fill("theirs")
    forms[second].get_by_role("button", name="Save").click()
    expect(second.get_by_text("The override is saved.")).to_be_visible()

    forms[first].get_by_role("button", name="Save").click()
    expect(first.get_by_role("alert")).to_contain_text("The value is “theirs” now.")
    expect(first.get_by_role("radio", name="yours")).to_be_checked()
    [state] = tenant.api.get(f"features/featurestates/?environment={tenant.environment.id}&feature={feature}")[
        "results"
    ][1:]
    assert state["feature_state_value"]["string_value"] == "theirs"
    first.get_by_role("button", name="Save merged").click()
    expect(first.get_by_text("The override is saved.")).to_be_visible()


def test_conflict_page__flag_changed_once_more__input_stays(
    new_window: Callable[..., Page], tenant: Tenant, base_path: str
) -> None:
    window = new_window(reduced_motion="reduce")
    feature = tenant.add_feature("banner", initial_value="old", default_enabled=True)["id"]
    window.goto(f"{base_path}features/{feature}/")
    value = window.get_by_role("textbox", name="Value")
    value.fill("new")
    tenant.change(feature, enabled=False)
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("alert")).to_contain_text("The switch is off now.")
    check_accessibility(window)
    tenant.change(feature, enabled=True)
    expect(window.get_by_role("link", name="Show it")).to_be_visible()
    window.get_by_role("button", name="Edit further").click()
    # It was changed once more: the comparison is with the newest state.
    expect(window.get_by_role("alert")).to_contain_text("The switch is on now.")
    window.get_by_role("link", name="Discard mine").click()
    expect(value).to_have_value("old")
