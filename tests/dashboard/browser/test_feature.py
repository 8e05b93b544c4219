"""The page of one feature in a browser: saved, reordered and scheduled changes reach SDKs and streams."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.api import Tenant, text
from tests.support.server import ServerProcess

SAVED = re.compile(r"Saved\.")


def segments(tenant: Tenant, feature: int) -> list[int]:
    """Create three segments that override the feature in this order. Returns their ids."""
    created = [tenant.add_segment(name, plan=name)["id"] for name in ("first", "second", "third")]
    for each in created:
        tenant.override(feature, each, feature_state_value=text("override"))
    return created


def order(tenant: Tenant, feature: int) -> list[str]:
    """The names of the segments by priority, read from the API."""
    path = f"features/feature-segments/?environment={tenant.environment.id}&feature={feature}"
    return [each["segment_name"] for each in tenant.api.get(path)["results"]]


def test_save__number_and_switch__one_event_and_sdk_reads_both(
    window: Page, tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner")["id"]
    window.goto(f"{base_path}features/{feature}/")
    value = window.get_by_role("textbox", name="Value")
    window.get_by_role("switch", name="On", exact=True).check()
    # An invalid number is not submitted.
    window.get_by_label("Number", exact=True).check()
    value.fill("many")
    expect(window.get_by_text("A whole number between")).to_be_visible()
    window.get_by_role("button", name="Save").click()
    assert tenant.flags()["banner"] == (False, None)
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        value.fill("12")
        expect(window.get_by_text("A whole number between")).to_be_hidden()
        window.get_by_role("button", name="Save").click()
        event = stream.event_after(before)
        expect(window.get_by_text(SAVED)).to_be_visible()
        assert event.updated_at == tenant.version()
    assert tenant.flags()["banner"] == (True, 12)
    window.get_by_label("JSON", exact=True).check()
    value.fill("{12}")
    expect(window.get_by_text("This is not JSON")).to_be_visible()
    value.fill('{"a": 12}')
    expect(window.get_by_text("This is not JSON")).to_be_hidden()


def test_weights__typed__control_share_and_error_shown(window: Page, tenant: Tenant, base_path: str) -> None:
    feature = tenant.add_feature("ranking", initial_value="control")["id"]
    window.goto(f"{base_path}features/{feature}/variations/new/")
    window.get_by_role("textbox", name="Value").fill("neural")
    window.get_by_label("Percent in new environments").fill("30")
    window.get_by_role("button", name="Add variation").click()
    expect(window.get_by_text("The variation is added")).to_be_visible()
    window.get_by_role("link", name="Value", exact=True).click()
    control, share = window.locator("[data-control]"), window.get_by_role("textbox", name="neural")
    expect(control).to_have_text("70")
    share.fill("120")
    expect(window.get_by_text("Each is a number between 0 and 100.")).to_be_hidden()
    expect(window.get_by_text("which is more than everybody")).to_be_visible()
    share.fill("100")
    expect(control).to_have_text("0")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_text(SAVED)).to_be_visible()
    shares = tenant.state(feature)["multivariate_feature_state_values"]
    assert [each["percentage_allocation"] for each in shares] == [100.0]


def test_overrides__dragged_and_moved_by_keyboard__order_in_the_api(
    window: Page, tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner")["id"]
    segments(tenant, feature)
    window.goto(f"{base_path}features/{feature}/")
    rows = window.locator("[data-order] > li")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        grip, target = rows.nth(0).locator("[data-grip]").bounding_box(), rows.nth(2).bounding_box()
        assert grip is not None
        assert target is not None
        window.mouse.move(grip["x"] + 5, grip["y"] + 5)
        window.mouse.down()
        window.mouse.move(target["x"] + 5, target["y"] + target["height"] - 2, steps=4)
        window.mouse.up()
        expect(window.get_by_text("The order is saved.")).to_be_visible()
        stream.event_after(before)
    assert order(tenant, feature) == ["second", "third", "first"]
    up = window.get_by_role("button", name="Move first up")
    for number in (2, 1):
        up.press("Enter")
        expect(window.get_by_text(f"first is now number {number}.")).to_be_visible()
    assert order(tenant, feature) == ["first", "second", "third"]


def test_override__removed__confirmation_first(window: Page, tenant: Tenant, base_path: str) -> None:
    feature = tenant.add_feature("banner")["id"]
    segments(tenant, feature)
    window.goto(f"{base_path}features/{feature}/")
    remove = window.get_by_role("button", name="Remove the override for second")
    remove.click()
    window.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    remove.click()
    window.get_by_role("dialog").get_by_role("button", name="Yes").click()
    expect(window.get_by_text("The override is removed.")).to_be_visible()
    assert order(tenant, feature) == ["first", "third"]


def test_schedule__time_of_the_browser__live_at_that_time_in_utc(
    new_window: Callable[..., Page], tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner")["id"]
    # UTC+5:30 all year.
    window = new_window(timezone_id="Asia/Kolkata")
    window.goto(f"{base_path}features/{feature}/")
    window.get_by_role("switch", name="On", exact=True).check()
    window.get_by_text("Schedule a change").click()
    expect(window.get_by_text("Asia/Kolkata", exact=False).or_(window.get_by_text("Asia/Calcutta"))).to_be_visible()
    moment = (datetime.now(UTC) + timedelta(days=3)).replace(second=0, microsecond=0)
    local = moment + timedelta(hours=5, minutes=30)
    window.locator("[data-when]").fill(local.strftime("%Y-%m-%dT%H:%M"))
    expect(window.get_by_text(moment.strftime("%Y-%m-%d %H:%M UTC."))).to_be_visible()
    window.get_by_role("button", name="Schedule", exact=True).click()
    expect(window.get_by_text("Scheduled. It goes live by itself")).to_be_visible()
    change_request = tenant.api.get(f"environments/{tenant.environment.key}/list-change-requests/")["results"][0]
    assert datetime.fromisoformat(change_request["live_from"]) == moment
    assert tenant.flags()["banner"] == (False, None)


def test_propose__approval_required__leads_to_the_request(window: Page, tenant: Tenant, base_path: str) -> None:
    feature = tenant.add_feature("banner")["id"]
    tenant.api.patch(f"environments/{tenant.environment.key}/", minimum_change_request_approvals=1)
    window.goto(f"{base_path}features/{feature}/")
    window.get_by_role("switch", name="On", exact=True).check()
    window.get_by_label("Title").fill("Turn it on")
    window.get_by_role("button", name="Propose this change").click()
    window.wait_for_url(re.compile(r"/change-requests/\d+/$"))
    expect(window.get_by_role("heading", name="Turn it on")).to_be_visible()
    assert tenant.flags()["banner"] == (False, None)


def test_feature__without_javascript__value_order_and_removal_saved(
    plain_window: Page, tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner")["id"]
    segments(tenant, feature)
    plain_window.goto(f"{base_path}features/{feature}/")
    plain_window.get_by_role("switch", name="On", exact=True).check()
    plain_window.get_by_label("Boolean").check()
    plain_window.get_by_label("true", exact=True).check()
    plain_window.get_by_role("button", name="Save").click()
    expect(plain_window.get_by_text(SAVED)).to_be_visible()
    assert tenant.flags()["banner"] == (True, True)
    plain_window.get_by_role("button", name="Move third up").click()
    expect(plain_window.get_by_text("third is now number 2.")).to_be_visible()
    assert order(tenant, feature) == ["first", "third", "second"]
    plain_window.get_by_role("button", name="Remove the override for third").click()
    plain_window.get_by_role("button", name="Remove override").click()
    expect(plain_window.get_by_text("The override is removed.")).to_be_visible()
    assert order(tenant, feature) == ["first", "second"]
    expect(plain_window.get_by_text("in UTC")).to_have_count(1)
