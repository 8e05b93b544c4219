"""The page "Why is it on?" in a browser. The SDK API gives the same values."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser.test_segments import flag_for
from tests.support.api import Tenant, text

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("javascript", [True, False])
def test_why__traits_in_and_out_of_a_segment__value_of_the_sdk_and_its_rule(
    new_window: Callable[..., Page], tenant: Tenant, base_path: str, javascript: bool
) -> None:
    window = new_window(java_script_enabled=javascript)
    feature = tenant.add_feature("banner", initial_value="plain")
    segment = tenant.add_segment("Professionals", plan="pro")
    tenant.override(feature["id"], segment["id"], feature_state_value=text("for pro"))
    window.goto(f"{base_path}features/{feature['id']}/")
    window.get_by_role("link", name="Why is it on?").click()
    expect(window.get_by_role("textbox", name="Feature")).to_have_value("banner")
    for plan, rule in (("pro", "Override for the segment Professionals"), ("free", "Default of Development")):
        window.get_by_label("Traits").fill(f"plan={plan}")
        window.get_by_role("button", name="Explain").click()
        row = window.locator("li.row", has_text="banner")
        expect(row).to_contain_text(rule)
        expect(row).to_contain_text(str(flag_for(tenant, {"plan": plan})))
    window.locator("summary", has_text="1 other segment override").click()
    expect(window.get_by_text("Professionals does not match")).to_be_visible()
