"""An environment whose flags need approval, in browsers with and without JavaScript: no click changes a flag."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.dashboard.browser.test_feature import order, segments
from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

REQUEST = re.compile(r"/change-requests/\d+/$")


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def page(request: pytest.FixtureRequest, new_window: Callable[..., Page]) -> Page:
    return new_window(java_script_enabled=request.param)


def require_approval(tenant: Tenant) -> None:
    tenant.api.patch(f"environments/{tenant.environment.key}/", minimum_change_request_approvals=1)


def proposed_states(tenant: Tenant) -> list[dict[str, object]]:
    """The states of the environment's only change request."""
    [listed] = tenant.api.get(f"environments/{tenant.environment.key}/list-change-requests/")["results"]
    states: list[dict[str, object]] = tenant.api.get(f"features/workflows/change-requests/{listed['id']}/")[
        "feature_states"
    ]
    return states


def commit(tenant: Tenant) -> None:
    """Commit the environment's only change request. It needs no approval any more."""
    tenant.api.patch(f"environments/{tenant.environment.key}/", minimum_change_request_approvals=0)
    [listed] = tenant.api.get(f"environments/{tenant.environment.key}/list-change-requests/")["results"]
    tenant.api.post(f"features/workflows/change-requests/{listed['id']}/commit/")


def block_stream(page: Page) -> None:
    """Block the stream, so that no event reloads the page."""

    def abort(route: Route) -> None:
        route.abort()

    page.route("**/stream/", abort)


def test_list__approval_required__switch_leads_to_the_proposal(page: Page, tenant: Tenant, base_path: str) -> None:
    tenant.add_feature("banner", initial_value="red")
    page.goto(f"{base_path}features/")
    expect(page.locator(".row .padlock")).to_have_count(0)
    require_approval(tenant)
    page.reload()
    expect(page.locator(".row .padlock")).to_have_count(1)
    expect(page.get_by_role("switch", name="banner")).to_have_accessible_description(
        re.compile("a switch leads to the proposal")
    )
    page.get_by_role("switch", name="banner").click()
    page.get_by_role("heading", name="banner", level=1).wait_for()
    expect(page.get_by_role("switch", name="On", exact=True)).to_be_checked()
    assert tenant.flags()["banner"] == (False, "red")
    page.get_by_role("button", name="Propose this change").click()
    page.wait_for_url(REQUEST)
    assert tenant.flags()["banner"] == (False, "red")
    assert [each["enabled"] for each in proposed_states(tenant)] == [True]


def test_list__approval_required_after_it_was_opened__switch_leads_to_the_proposal(
    page: Page, tenant: Tenant, base_path: str
) -> None:
    tenant.add_feature("banner")
    block_stream(page)
    page.goto(f"{base_path}features/")
    require_approval(tenant)
    page.get_by_role("switch", name="banner").click()
    page.get_by_role("heading", name="banner", level=1).wait_for()
    expect(page.get_by_role("switch", name="On", exact=True)).to_be_checked()
    expect(page.get_by_text("flags are changed by change requests")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/features/\d+/\?enabled=true$"))
    assert tenant.flags()["banner"] == (False, None)


def test_override__switched_or_removed_with_approval_required__leads_to_the_proposal(
    page: Page, tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner", initial_value="red")["id"]
    segments(tenant, feature)
    require_approval(tenant)
    page.goto(f"{base_path}features/{feature}/")
    page.get_by_role("switch", name="On for second").click()
    expect(page.locator(".opened").get_by_role("switch", name="On", exact=True)).not_to_be_checked()
    page.goto(f"{base_path}features/{feature}/")
    page.get_by_role("link", name="Remove the override for second").click()
    page.get_by_role("heading", name="Propose to remove the override for second?").wait_for()
    page.get_by_label("Title").fill("No second")
    page.get_by_role("button", name="Propose this change").click()
    page.wait_for_url(REQUEST)
    expect(page.get_by_role("heading", name="No second")).to_be_visible()
    expect(page.get_by_role("row", name="Override for second")).to_contain_text("removed")
    assert order(tenant, feature) == ["first", "second", "third"]
    commit(tenant)
    assert order(tenant, feature) == ["first", "third"]


def test_order__approval_required__leads_to_the_proposal_and_the_stream_is_silent(
    page: Page, tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner", initial_value="red")["id"]
    segments(tenant, feature)
    require_approval(tenant)
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        page.goto(f"{base_path}features/{feature}/")
        expect(page.locator(".row .padlock")).to_have_count(9)
        page.get_by_role("link", name="Move the override for second", exact=True).click()
        page.get_by_label("third", exact=True).fill("0")
        page.get_by_role("button", name="Propose this change").click()
        page.wait_for_url(REQUEST)
        expect(page.get_by_role("row", name="Order")).to_contain_text("third, first, second")
        assert order(tenant, feature) == ["first", "second", "third"]
        # No click has raised the version that the stream began with.
        assert tenant.version() == before
        commit(tenant)
        assert stream.event_after(before).updated_at == tenant.version()
    assert order(tenant, feature) == ["third", "first", "second"]


def test_overrides__approval_required_after_they_were_opened__order_and_overrides_stay(
    page: Page, tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner", initial_value="red")["id"]
    segments(tenant, feature)
    block_stream(page)
    page.goto(f"{base_path}features/{feature}/")
    require_approval(tenant)
    page.get_by_role("button", name="Move third up").click()
    # The form of the proposal has the order that was clicked.
    expect(page.get_by_label("third", exact=True)).to_have_value("2")
    expect(page.get_by_text("flags are changed by change requests")).to_be_visible()
    assert order(tenant, feature) == ["first", "second", "third"]


def test_overrides__dragged_after_approval_became_required__order_stays(
    window: Page, tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner")["id"]
    segments(tenant, feature)
    block_stream(window)
    window.goto(f"{base_path}features/{feature}/")
    require_approval(tenant)
    rows = window.locator("[data-order] > li")
    grip, target = rows.nth(0).locator("[data-grip]").bounding_box(), rows.nth(2).bounding_box()
    assert grip is not None
    assert target is not None
    window.mouse.move(grip["x"] + 5, grip["y"] + 5)
    window.mouse.down()
    window.mouse.move(target["x"] + 5, target["y"] + target["height"] - 2, steps=4)
    window.mouse.up()
    expect(window.get_by_label("first", exact=True)).to_have_value("3")
    assert order(tenant, feature) == ["first", "second", "third"]


def test_approvals__axe__nothing_serious(axe: Callable[[str], None], tenant: Tenant, base_path: str) -> None:
    feature = tenant.add_feature("banner", initial_value="red")["id"]
    first, *_ = segments(tenant, feature)
    require_approval(tenant)
    for path in ("", f"{feature}/?enabled=true", f"{feature}/overrides/{first}/delete/", f"{feature}/overrides/order/"):
        axe(f"{base_path}features/{path}")
