"""The list of features in a browser: what is toggled there reaches streams and other browsers."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess


def test_toggle__two_windows__stream_and_other_window_see_it(
    new_window: Callable[..., Page], tenant: Tenant, place: str, server: ServerProcess
) -> None:
    tenant.add_feature("banner")
    here, there = new_window(), new_window()
    for page in (here, there):
        page.goto(f"{place}features/")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        here.get_by_role("switch", name="banner").click()
        stream.event_after(before)
    for page in (here, there):
        expect(page.get_by_role("switch", name="banner")).to_have_attribute("aria-checked", "true")


def test_features__axe__nothing_serious(axe: Callable[[str], None], tenant: Tenant, place: str) -> None:
    for name in ("banner", "search", "checkout_with_a_very_long_name_that_has_to_be_broken_somewhere"):
        tenant.add_feature(name)
    axe(f"{place}features/")
