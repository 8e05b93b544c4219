"""A newcomer's way from the sign-up to a connected application, with an SDK or a stream as the application."""

import secrets
import threading
from collections.abc import Callable

import pytest
from flagsmith import Flagsmith
from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow


def start(window: Page) -> None:
    """From the sign-up to the first flag: four forms."""
    window.goto("/sign-up/")
    window.fill("[name=first_name]", "Nora")
    window.fill("[name=last_name]", "Newcomer")
    window.fill("[name=email]", f"{secrets.token_hex(8)}@example.com")
    window.fill("[name=password]", secrets.token_urlsafe(16))
    window.locator("main form button").click()
    window.get_by_role("link", name="create an organisation of your own").click()
    window.get_by_role("heading", name="New organisation").wait_for()
    window.get_by_label("Name").fill("Acme")
    window.get_by_role("button", name="Create organisation").click()
    window.get_by_role("heading", name="New project").wait_for()
    window.get_by_label("Name").fill("Shop")
    window.get_by_role("button", name="Create project").click()
    window.get_by_role("button", name="Create flag").click()
    expect(window.get_by_text("banner is there, in all environments.")).to_be_visible()


def test_newcomer__python_sdk_with_the_lines_of_the_page__turns_green_and_follows(
    open_window: Callable[..., Page], server: ServerProcess
) -> None:
    window = open_window()
    start(window)
    window.get_by_label("SDK").select_option("python")
    window.get_by_role("button", name="Create one").click()
    expect(window.locator("#snippet")).to_contain_text("ser.")
    expect(window.get_by_text("Waiting for your application")).to_be_visible()
    names: dict[str, Flagsmith] = {}
    exec(window.locator("#snippet").inner_text(), names)  # noqa: S102 - runs the snippet
    sdk = names["flagsmith"]
    fetched = threading.Event()
    update = sdk.update_environment

    def update_and_notify() -> None:
        update()
        fetched.set()

    sdk.update_environment = update_and_notify  # type: ignore[method-assign]
    try:
        assert not sdk.get_environment_flags().is_feature_enabled("banner")
        expect(window.get_by_text("Your application has arrived")).to_be_visible()
        window.get_by_role("link", name="To the features").click()
        window.get_by_role("switch", name="banner").click()
        assert fetched.wait(PATIENCE)
        assert sdk.get_environment_flags().is_feature_enabled("banner")
    finally:
        sdk.event_stream_thread.stop()


def test_newcomer__without_javascript__stream_turns_green(
    open_window: Callable[..., Page], server: ServerProcess
) -> None:
    window = open_window(java_script_enabled=False)
    start(window)
    key = window.url.split("/environments/")[1].split("/")[0]
    window.get_by_label("SDK").select_option("curl")
    window.get_by_role("button", name="Show").click()
    expect(window.locator("#snippet")).to_contain_text(f"/sse/environments/{key}/stream")
    with sse.connect(server.port, key) as stream:
        stream.next_event()
        expect_green(window)


def expect_green(window: Page) -> None:
    """Follow "Check again" until the stream is there. The inspector writes it within seconds."""
    green = window.get_by_text("Your application has arrived")
    window.get_by_role("link", name="Check again").click()
    while not green.is_visible():
        window.get_by_role("link", name="Check again").click()
