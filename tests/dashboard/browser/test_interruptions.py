"""A session that ends in the middle of a form, and a server that cannot answer: nothing typed is lost."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.dashboard.browser.conftest import Person, sign_in
from tests.dashboard.browser.test_feature import SAVED
from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_form__session_ends_in_the_middle__input_is_there_after_the_sign_in(
    scripts: bool,
    open_window: Callable[..., Page],
    tenant: Tenant,
    base_path: str,
    server: ServerProcess,
    person: Person,
) -> None:
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    window = open_window(java_script_enabled=scripts)
    sign_in(window, person)
    window.goto(f"{base_path}features/{feature}/")
    value = window.get_by_role("textbox", name="Value")
    value.fill("first line\nsecond line")
    other = window.context.new_page()
    other.goto("/account/")
    other.get_by_role("button", name="Sign out").click()
    other.get_by_role("heading", name="Sign in").wait_for()
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        window.get_by_role("button", name="Save").click()
        window.fill("[name=email]", person.email)
        window.fill("[name=password]", person.password)
        window.get_by_role("button", name="Sign in").click()
        expect(window.get_by_role("alert")).to_contain_text("Your session had ended, so nothing was saved.")
        expect(value).to_have_value("first line\nsecond line")
        assert tenant.version() == before
        window.get_by_role("button", name="Save").click()
        expect(window.get_by_text(SAVED)).to_be_visible()
        assert tenant.flags()["banner"] == (False, "first line\nsecond line")
        assert stream.event_after(before).updated_at == tenant.version()


@pytest.mark.parametrize("failure", ["503", "offline"])
def test_switch__server_fails__goes_back_with_a_message_and_the_page_stays(
    failure: str, window: Page, tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    tenant.add_feature("banner")
    window.goto(f"{base_path}features/")
    search = window.get_by_role("searchbox", name="Search features")
    search.fill("typed")
    switch = window.get_by_role("switch", name="banner")

    def fail(route: Route) -> None:
        if failure == "503":
            route.fulfill(status=503, content_type="text/html", body="<main id=main>Unavailable</main>")
        else:
            route.abort()

    window.route("**/toggle/", fail)
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        switch.click()
        text = "cannot answer at the moment (503)" if failure == "503" else "The server cannot be reached"
        expect(window.locator("#messages")).to_contain_text(text)
        expect(switch).to_have_attribute("aria-checked", "false")
        expect(search).to_have_value("typed")
        assert tenant.version() == before
        window.unroute("**/toggle/")
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "true")
        assert stream.event_after(before).updated_at == tenant.version()
