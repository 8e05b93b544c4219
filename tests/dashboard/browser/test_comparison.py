"""Two environments side by side, many features at once, and a feature's history. The SDK API and a stream follow."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("javascript", [True, False])
def test_copy__to_the_other_environment__its_stream_gets_one_event(
    new_window: Callable[..., Page], tenant: Tenant, server: ServerProcess, base_path: str, javascript: bool
) -> None:
    window = new_window(java_script_enabled=javascript)
    feature = tenant.add_feature("banner")["id"]
    production = tenant.add_environment("Production")
    tenant.change(feature, enabled=True, feature_state_value="blue")
    window.goto(f"{base_path}features/")
    window.get_by_role("link", name="Compare environments").click()
    with sse.connect(server.port, production.key) as stream:
        before = stream.next_event().updated_at
        window.get_by_role("button", name="Copy to Production").click()
        expect(window.get_by_text("banner is in Production as in Development.")).to_be_visible()
        assert stream.event_after(before).updated_at == tenant.version(production)
    assert tenant.flags(production) == {"banner": (True, "blue")}
    expect(window.get_by_text("No feature differs")).to_be_visible()

    tenant.override(feature, tenant.add_segment("Professionals", plan="pro")["id"])
    window.reload()
    with sse.connect(server.port, production.key) as stream:
        before = stream.next_event().updated_at
        expect(window.get_by_label("with its overrides of banner, to Production")).to_be_checked()
        window.get_by_role("button", name="Copy to Production").click()
        expect(window.get_by_text("No feature differs")).to_be_visible()
        assert stream.event_after(before).updated_at == tenant.version(production)


def test_many__switched_at_once__one_event(window: Page, tenant: Tenant, server: ServerProcess, base_path: str) -> None:
    for name in ("one", "two", "three"):
        tenant.add_feature(name)
    window.goto(f"{base_path}features/")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        for name in ("one", "two"):
            window.get_by_label(f"Choose {name}").check()
        window.get_by_role("button", name="Turn on").click()
        expect(window.get_by_text("2 features are on.")).to_be_visible()
        assert stream.event_after(before).updated_at == tenant.version()
    assert tenant.flags() == {"one": (True, None), "two": (True, None), "three": (False, None)}


def test_history__restored__stream_and_sdk_follow(
    window: Page, tenant: Tenant, server: ServerProcess, base_path: str
) -> None:
    feature = tenant.add_feature("banner")["id"]
    for value in ("red", "blue"):
        tenant.change(feature, feature_state_value=value)
    window.goto(f"{base_path}features/{feature}/")
    window.get_by_role("link", name="History").click()
    row = window.locator("li.row", has_text="red").last
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        row.get_by_role("button", name="Restore this").click()
        window.get_by_role("button", name="Yes").click()
        expect(window.get_by_text("Restored.")).to_be_visible()
        stream.event_after(before)
    assert tenant.flags() == {"banner": (False, "red")}
