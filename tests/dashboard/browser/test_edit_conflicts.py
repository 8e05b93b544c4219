"""Two users with the same form in two browsers: neither save undoes the other."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser.test_feature import SAVED
from tests.support.api import Tenant, text


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def mine(request: pytest.FixtureRequest, new_window: Callable[..., Page]) -> Page:
    return new_window(java_script_enabled=request.param)


def test_value__saved_after_another_user_turned_it_off__conflict_named_then_both_changes_saved(
    mine: Page, new_window: Callable[..., Page], tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner", initial_value="old", default_enabled=True)["id"]
    theirs = new_window()
    mine.goto(f"{base_path}features/{feature}/")
    value, on = mine.get_by_role("textbox", name="Value"), mine.get_by_role("switch", name="On", exact=True)
    value.fill("new")
    theirs.goto(f"{base_path}features/")
    theirs.get_by_role("switch", name="banner").click()
    # Wait for the response: until then the switch has this attribute.
    expect(theirs.locator("[data-before]")).to_have_count(0)
    assert tenant.flags()["banner"] == (False, "old")

    mine.get_by_role("button", name="Save").click()
    expect(mine.get_by_role("alert")).to_contain_text("The switch is off now.")
    assert tenant.flags()["banner"] == (False, "old")
    expect(value).to_have_value("new")
    expect(on).not_to_be_checked()
    mine.get_by_role("button", name="Save").click()
    expect(mine.get_by_text(SAVED)).to_be_visible()
    assert tenant.flags()["banner"] == (False, "new")


def test_override__saved_after_another_user_saved_it__conflict_named_then_replaced(
    mine: Page, new_window: Callable[..., Page], tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner")["id"]
    segment = tenant.add_segment("staff", plan="staff")["id"]
    tenant.override(feature, segment, enabled=True, feature_state_value=text("old"))
    theirs = new_window()
    for page in (mine, theirs):
        page.goto(f"{base_path}features/{feature}/overrides/{segment}/")
    forms = {page: page.locator(".opened") for page in (mine, theirs)}
    forms[mine].get_by_role("textbox", name="Value").fill("mine")
    forms[theirs].get_by_role("textbox", name="Value").fill("theirs")
    forms[theirs].get_by_role("button", name="Save").click()
    expect(theirs.get_by_text("The override is saved.")).to_be_visible()

    forms[mine].get_by_role("button", name="Save").click()
    expect(mine.get_by_role("alert")).to_contain_text("The value is “theirs” now.")
    expect(forms[mine].get_by_role("textbox", name="Value")).to_have_value("mine")
    [state] = tenant.api.get(f"features/featurestates/?environment={tenant.environment.id}&feature={feature}")[
        "results"
    ][1:]
    assert state["feature_state_value"]["string_value"] == "theirs"
    forms[mine].get_by_role("button", name="Save").click()
    expect(mine.get_by_text("The override is saved.")).to_be_visible()


def test_conflict_page__flag_changed_once_more__input_stays(window: Page, tenant: Tenant, base_path: str) -> None:
    feature = tenant.add_feature("banner", initial_value="old", default_enabled=True)["id"]
    window.goto(f"{base_path}features/{feature}/")
    value = window.get_by_role("textbox", name="Value")
    value.fill("new")
    tenant.change(feature, enabled=False)
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("alert")).to_contain_text("The switch is off now.")
    tenant.change(feature, enabled=True)
    expect(window.get_by_role("link", name="Show it")).to_be_visible()
    expect(value).to_have_value("new")
