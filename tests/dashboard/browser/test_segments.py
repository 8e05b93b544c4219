"""Segments in a browser: SDKs and streams receive the changes."""

from collections.abc import Callable

import requests
from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.api import Tenant, text
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess


def flag_for(tenant: Tenant, traits: dict[str, object]) -> object:
    """The value of ``banner`` for a transient identity with these traits."""
    trait_data = [{"trait_key": name, "trait_value": value} for name, value in traits.items()]
    response = requests.post(
        f"{tenant.api.url}/api/v1/identities/",
        json={"identifier": "transient", "transient": True, "traits": trait_data},
        headers={"X-Environment-Key": tenant.environment.key},
        timeout=PATIENCE,
    )
    (flag,) = response.json()["flags"]
    return flag["feature_state_value"]


def test_segment__created_checked_changed_and_deleted__sdk_and_stream_follow(
    window: Page, new_window: Callable[..., Page], tenant: Tenant, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner", initial_value="plain")
    path = f"/projects/{tenant.project}/segments/"
    other = new_window()
    other.goto(path)
    window.goto(path)
    window.get_by_role("link", name="Create the first one").click()
    window.get_by_label("Name", exact=True).fill("Grown-ups")
    window.get_by_label("Property", exact=True).fill("age")
    window.get_by_label("Operator", exact=True).select_option("GREATER_THAN_INCLUSIVE")
    expect(window.get_by_text("A number, or a version", exact=False).first).to_be_visible()
    window.get_by_label("Value", exact=True).fill("18")
    # The first field of the new condition has the focus.
    window.get_by_role("button", name="Add condition to group 1").press("Enter")
    second = window.get_by_role("group", name="Condition 2")
    expect(second.get_by_label("Property", exact=True)).to_be_focused()
    window.keyboard.type("adult")
    second.get_by_label("Operator", exact=True).select_option("IS_SET")
    expect(second.get_by_label("Value", exact=True)).to_be_hidden()
    window.get_by_role("button", name="Add group").click()
    group = window.get_by_role("group", name="Group 2")
    group.get_by_label("Group 2").select_option("NONE")
    expect(group.get_by_label("Property", exact=True)).to_be_focused()
    group.get_by_label("Property", exact=True).fill("country")
    group.get_by_label("Value", exact=True).fill("US")
    expect(window).to_have_url(f"{server.url}{path}new/")
    window.get_by_role("button", name="Create segment").last.click()
    window.get_by_role("heading", name="Grown-ups", level=1).wait_for()
    # The other window reloads after the stream's event.
    expect(other.get_by_role("link", name="Grown-ups")).to_be_visible()

    (segment,) = tenant.api.get(f"projects/{tenant.project}/segments/")["results"]
    tenant.override(feature["id"], segment["id"], feature_state_value=text("for grown-ups"))
    assert flag_for(tenant, {"age": 18}) == flag_for(tenant, {"adult": False}) == "for grown-ups"
    assert flag_for(tenant, {"age": 17}) == flag_for(tenant, {"age": 18, "country": "US"}) == "plain"

    check = window.locator("#check")
    window.get_by_label("Name", exact=True).fill("not saved yet")
    for traits, verdict in {"age=18": "It matches", "age=18\ncountry=US": "It does not match"}.items():
        check.get_by_label("Traits").fill(traits)
        check.get_by_role("button", name="Check").click()
        expect(check.get_by_text(verdict, exact=True)).to_be_visible()
    # The check does not replace the segment's form.
    expect(window.get_by_label("Name", exact=True)).to_have_value("not saved yet")

    window.reload()
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        window.get_by_role("button", name="Remove group 2").click()
        expect(window.get_by_role("group", name="Group 2")).to_have_count(0)
        window.get_by_label("Value", exact=True).first.fill("16")
        window.get_by_role("button", name="Save segment").last.click()
        window.get_by_text("Grown-ups is saved.").wait_for()
        saved = stream.event_after(before).updated_at
        assert flag_for(tenant, {"age": 16, "country": "US"}) == "for grown-ups"
        window.get_by_role("link", name="Delete").click()
        window.get_by_role("button", name="Cancel").click()
        window.get_by_role("link", name="Delete").click()
        window.get_by_role("button", name="Yes").click()
        window.get_by_text("Grown-ups is deleted.").wait_for()
        expect(window).to_have_url(f"{server.url}{path}")
        stream.event_after(saved)
    assert flag_for(tenant, {"age": 18}) == "plain"


def test_segment__without_javascript__changed_and_deleted(plain_window: Page, tenant: Tenant) -> None:
    segment = tenant.add_segment("Professionals", plan="pro")
    path = f"projects/{tenant.project}/segments/{segment['id']}/"
    plain_window.goto(f"/{path}")
    plain_window.get_by_role("button", name="Add condition to group 1").click()
    second = plain_window.get_by_role("group", name="Condition 2")
    second.get_by_label("Property", exact=True).fill("country")
    second.get_by_label("Value", exact=True).fill("FR")
    # Enter uses the save button, not the first button of the form.
    second.get_by_label("Value", exact=True).press("Enter")
    plain_window.get_by_text("Professionals is saved.").wait_for()
    (rule,) = tenant.api.get(path)["rules"]
    assert [each["property"] for each in rule["rules"][0]["conditions"]] == ["plan", "country"]
    plain_window.get_by_role("link", name="Delete").click()
    plain_window.get_by_role("button", name="Delete segment").click()
    plain_window.get_by_text("Professionals is deleted.").wait_for()
