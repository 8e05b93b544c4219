"""The list of features in a browser: toggles reach streams and other browsers."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess


def test_toggle__two_windows__stream_and_other_window_follow(
    new_window: Callable[..., Page], tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    tenant.add_feature("banner")
    first, second = new_window(), new_window()
    for page in (first, second):
        page.goto(f"{base_path}features/")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        first.get_by_role("switch", name="banner").click()
        stream.event_after(before)
    for page in (first, second):
        expect(page.get_by_role("switch", name="banner")).to_have_attribute("aria-checked", "true")


@pytest.mark.slow
def test_page__stream_and_reload_fail_once__page_stays_and_is_reloaded_later(
    window: Page, tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner")
    failed: list[str] = []

    def fail_once(route: Route) -> None:
        kind = "stream" if "/stream/" in route.request.url else "page"
        if kind in failed:
            route.continue_()
            return
        failed.append(kind)
        route.fulfill(status=502, content_type="text/html", body="<main id=main>Bad gateway</main>")

    window.goto(f"{base_path}features/")
    window.route("**/stream/", fail_once)
    window.reload()
    window.route("**/features/", fail_once)
    tenant.change(feature["id"], enabled=True)
    expect(window.get_by_role("switch", name="banner")).to_be_checked()
    assert failed == ["stream", "page"]

    # A new page starts at its top, with the focus on its content.
    window.set_viewport_size({"width": 360, "height": 200})
    window.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    window.get_by_role("link", name="banner", exact=True).click()
    window.get_by_role("heading", name="banner", level=1).wait_for()
    expect(window.locator("#main")).to_be_focused()
    assert window.evaluate("window.scrollY") == 0


def test_page__input_typed_during_a_reload__stays_until_the_user_reloads(
    window: Page, tenant: Tenant, base_path: str
) -> None:
    feature = tenant.add_feature("banner")
    window.goto(f"{base_path}features/")
    search = window.get_by_role("searchbox", name="Search features")

    def type_meanwhile(route: Route) -> None:
        search.fill("ban")
        route.continue_()

    window.route("**/features/", type_meanwhile)
    tenant.change(feature["id"], enabled=True)
    newer = window.get_by_role("link", name="Show it")
    expect(newer).to_be_visible()
    expect(search).to_have_value("ban")
    window.unroute("**/features/")
    newer.click()
    expect(window.get_by_role("switch", name="banner")).to_be_checked()
    expect(search).to_have_value("")
