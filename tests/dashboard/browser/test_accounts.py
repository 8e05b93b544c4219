"""Sign-in and SDK settings in a browser. An SDK runs with the snippet from the page."""

import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser.conftest import Person, Start
from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow


def test_session__ends_while_a_page_is_open__sign_in_returns_to_the_page(
    window: Page, tenant: Tenant, person: Person, base_path: str
) -> None:
    tenant.add_feature("banner")
    tenant.add_environment("Production")
    window.goto(f"{base_path}features/?search=ban")
    # Other tests share the session, and the sign-out below would end it.
    window.context.clear_cookies()
    window.get_by_role("link", name="Segments").click()
    window.fill("[name=email]", person.email)
    window.fill("[name=password]", "nope")
    window.keyboard.press("Enter")
    expect(window.get_by_role("alert")).to_contain_text("Unable to log in")
    window.fill("[name=password]", person.password)
    window.keyboard.press("Enter")
    expect(window.get_by_role("heading", name="Features", level=1)).to_be_visible()
    expect(window.get_by_role("searchbox", name="Search features")).to_have_value("ban")

    window.get_by_label("Environment: Development").click()
    window.get_by_role("link", name="Production").click()
    expect(window.get_by_label("Environment: Production")).to_be_visible()
    expect(window.get_by_role("heading", name="Features", level=1)).to_be_visible()

    window.get_by_role("button", name="Sign out").click()
    expect(window.get_by_role("heading", name="Sign in", level=1)).to_be_visible()
    window.goto(f"{base_path}features/")
    expect(window.get_by_role("heading", name="Sign in", level=1)).to_be_visible()


def test_sdk_settings__switch_key_and_snippet__stream_and_python_sdk_work(
    new_window: Callable[..., Page], tenant: Tenant, server: ServerProcess, start: Start
) -> None:
    feature = tenant.add_feature("banner")["id"]
    window = new_window(permissions=["clipboard-read", "clipboard-write"])
    window.goto(f"/projects/{tenant.project}/settings/sdk/")
    switch = window.get_by_role("switch", name="Real-time updates")
    expect(switch).to_have_attribute("aria-checked", "true")
    with sse.connect(server.port, tenant.environment.key) as stream:
        version = stream.next_event().updated_at
        switch.click()
        expect(window.get_by_text("Real-time updates are off.")).to_be_visible()
        tenant.change(feature, enabled=True)
        switch.click()
        expect(window.get_by_text("Real-time updates are on.")).to_be_visible()
        # The change while updates were off caused no event.
        assert stream.event_after(version).updated_at == tenant.version()

    window.get_by_label("Name of a new key").fill("Backend")
    window.get_by_role("button", name="Create key").click()
    expect(window.get_by_text("Backend", exact=True)).to_be_visible()
    window.get_by_text("Python", exact=True).click()
    # Keeps the label “Copied”, which a slow machine would miss.
    window.evaluate("window.setTimeout = () => 0")
    window.get_by_role("button", name="Copy the lines for Python").click()
    expect(window.get_by_role("button", name="Copy the lines for Python")).to_have_text("Copied")
    lines = window.evaluate("navigator.clipboard.readText()")

    printed = start([sys.executable, "-c", lines]).stdout
    assert printed is not None
    assert next(printed) == "{'banner': True}\n"
    tenant.change(feature, enabled=False)
    assert next(line for line in printed if line == "{'banner': False}\n")
