"""A newcomer's way from the first page to a connected application. The pages show each step: no address is typed but
the first one. The steps and the seconds are printed (``pytest -s``).
"""

import secrets
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from tests.dashboard.browser.conftest import Start
from tests.e2e.modules import module_origin
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.slow

GREEN = "Your application has arrived"


class Newcomer:
    """A visitor without an account. Counts what they type, choose and click."""

    def __init__(self, window: Page) -> None:
        self.window = window
        self.fields = self.clicks = 0
        self.began_at = time.monotonic()

    def type(self, label: str, text: str) -> None:
        self.window.get_by_label(label, exact=True).fill(text)
        self.fields += 1

    def choose(self, label: str, option: str) -> None:
        self.window.get_by_label(label, exact=True).select_option(option)
        self.clicks += 1

    def click(self, name: str) -> None:
        """Click the only link or button of this name."""
        self.window.get_by_role("link", name=name).or_(self.window.get_by_role("button", name=name)).click()
        self.clicks += 1

    def create_first_flag(self) -> None:
        """From the first page to the first flag."""
        self.window.goto("/")
        self.click("Create an account")
        self.type("First name", "Nora")
        self.type("Last name", "Newcomer")
        self.type("E-mail", f"{secrets.token_hex(8)}@example.com")
        self.type("Password", secrets.token_urlsafe(16))
        self.click("Create account")
        self.click("create an organisation of your own")
        self.type("Name", "Acme")
        self.click("Create organisation")
        self.window.get_by_role("heading", name="New project").wait_for()
        self.type("Name", "Shop")
        self.click("Create project")
        self.click("Create flag")
        expect(self.window.get_by_text("banner is there, in all environments.")).to_be_visible()

    @property
    def snippet(self) -> str:
        return self.window.locator("#snippet").inner_text()

    def turn_the_flag_on(self) -> None:
        self.click("To the features")
        self.window.get_by_role("switch", name="banner").click()
        self.clicks += 1

    def report(self, application: str) -> None:
        seconds = time.monotonic() - self.began_at
        print(f"\n{application}: {self.fields} fields, {self.clicks} clicks, {seconds:.1f} s")


@pytest.fixture
def curl(start: Start) -> Callable[[str], subprocess.Popen[str]]:
    """Run a line with curl in a shell."""
    return lambda line: start(["bash", "-c", f"exec {line} --no-progress-meter"])


def is_printed(line: ConsoleMessage) -> bool:
    """Whether the application has printed the line, not the browser."""
    return line.type == "log"


def flags_of(line: ConsoleMessage) -> dict[str, bool]:
    """The flags that the application has printed, by name."""
    flags = line.args[0].json_value()
    return {name: flag["enabled"] for name, flag in flags.items()}


def test_newcomer__javascript_sdk_with_the_lines_of_the_page__turns_green_and_follows(
    open_window: Callable[..., Page],
) -> None:
    newcomer = Newcomer(open_window())
    newcomer.create_first_flag()
    expect(newcomer.window.get_by_text("Waiting for your application")).to_be_visible()
    with module_origin() as origin:
        application = open_window(base_url=origin)
        application.goto("/")
        with application.expect_console_message(is_printed) as first:
            application.add_script_tag(content=newcomer.snippet, type="module")
        assert flags_of(first.value) == {"banner": False}
        expect(newcomer.window.get_by_text(GREEN)).to_be_visible()
        with application.expect_console_message(is_printed) as second:
            newcomer.turn_the_flag_on()
        assert flags_of(second.value) == {"banner": True}
        newcomer.report("JavaScript SDK")


def test_newcomer__curl_as_shown__turns_green_and_prints_the_event(
    open_window: Callable[..., Page], curl: Callable[[str], subprocess.Popen[str]]
) -> None:
    newcomer = Newcomer(open_window())
    newcomer.create_first_flag()
    newcomer.choose("SDK", "curl")
    expect(newcomer.window.locator("#snippet")).to_contain_text("curl -N")
    reading, streaming = newcomer.snippet.splitlines()
    stream = curl(streaming).stdout
    assert stream is not None
    expect(newcomer.window.get_by_text(GREEN)).to_be_visible()
    first = next(line for line in stream if line.startswith("data:"))
    newcomer.turn_the_flag_on()
    assert next(line for line in stream if line.startswith("data:")) != first
    newcomer.report("curl")
    flags, _ = curl(reading).communicate(timeout=PATIENCE)
    assert '"enabled":true' in flags


def test_newcomer__python_sdk_with_the_lines_of_the_page__turns_green_and_follows(
    open_window: Callable[..., Page], start: Start
) -> None:
    newcomer = Newcomer(open_window())
    newcomer.create_first_flag()
    newcomer.choose("SDK", "python")
    newcomer.click("Create one")
    expect(newcomer.window.locator("#snippet")).to_contain_text("ser.")
    printed = start([sys.executable, "-c", newcomer.snippet]).stdout
    assert printed is not None
    assert next(printed) == "{'banner': False}\n"
    expect(newcomer.window.get_by_text(GREEN)).to_be_visible()
    newcomer.turn_the_flag_on()
    assert next(line for line in printed if line == "{'banner': True}\n")
    newcomer.report("Python SDK")


def test_newcomer__without_javascript__stream_turns_green(
    open_window: Callable[..., Page], curl: Callable[[str], subprocess.Popen[str]]
) -> None:
    newcomer = Newcomer(open_window(java_script_enabled=False))
    newcomer.create_first_flag()
    newcomer.choose("SDK", "curl")
    newcomer.click("Show")
    expect(newcomer.window.locator("#snippet")).to_contain_text("curl -N")
    _, streaming = newcomer.snippet.splitlines()
    curl(streaming)
    newcomer.click("Check again")
    # The inspector writes the stream within seconds.
    while not newcomer.window.get_by_text(GREEN).is_visible():
        newcomer.click("Check again")
    newcomer.report("Without JavaScript")
