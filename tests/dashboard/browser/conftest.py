"""Fixtures: the dashboard in a real browser, on a real server process. Each test has its own tenant and window."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import programs
from tests.support.api import AdminAPI, Tenant
from tests.support.chromium import chromium
from tests.support.patience import PATIENCE
from tests.support.server import MigratedSQLite, ServerProcess

AXE = programs.E2E / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (360, 1440)
SCHEMES = ("light", "dark")
SERIOUS = {"serious", "critical"}

# All tests have one client address, and most of them sign in. The limit of an account is low: each attempt costs the
# hash of a password.
LIMITS = {
    "LOGIN_THROTTLE_RATE": "1000/min",
    "CODE_THROTTLE_RATE": "1000/min",
    "PASSWORD_RESET_THROTTLE_RATE": "1000/min",
    "LOGIN_FAILURES_RATE": "3/15min",
}

expect.set_options(timeout=PATIENCE * 1_000)


@dataclass(frozen=True)
class Person:
    """A user account with an API client that is signed in."""

    email: str
    password: str
    api: AdminAPI


@pytest.fixture(scope="session")
def server(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(sqlite_template.copy(tmp_path_factory.mktemp("dashboard")) | LIMITS) as server:
        yield server


def register(server: ServerProcess) -> Person:
    email, password = f"{secrets.token_hex(8)}@example.com", secrets.token_urlsafe(16)
    names = {"first_name": "Ada", "last_name": "Admin"}
    response = AdminAPI(server.url).post("auth/users/", email=email, password=password, **names)
    return Person(email, password, AdminAPI(server.url, response["key"]))


@pytest.fixture(scope="session")
def person(server: ServerProcess) -> Person:
    """The admin of every tenant. One for the session, because registration is slow: it hashes a password."""
    return register(server)


@pytest.fixture
def tenant(person: Person) -> Tenant:
    return Tenant.create(person.api)


@pytest.fixture
def base_path(tenant: Tenant) -> str:
    """The common prefix of the paths of the environment's pages."""
    return f"/projects/{tenant.project}/environments/{tenant.environment.key}/"


# Not session-scoped: Playwright's event loop prevents other tests of this process from running theirs.
@pytest.fixture(scope="module")
def chromium_browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def session_cookies(chromium_browser: Browser, server: ServerProcess, person: Person) -> Any:
    """The storage state of a browser after a sign-in through the page."""
    context = chromium_browser.new_context(base_url=server.url)
    context.set_default_timeout(PATIENCE * 1_000)
    page = context.new_page()
    sign_in(page, person)
    state = context.storage_state()
    context.close()
    return state


def sign_in(page: Page, person: Person) -> None:
    page.goto("/sign-in/")
    page.fill("[name=email]", person.email)
    page.fill("[name=password]", person.password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Projects", level=1).wait_for()


@pytest.fixture
def open_window(chromium_browser: Browser, server: ServerProcess) -> Iterator[Callable[..., Page]]:
    """Open a window that is not signed in. Keywords are options of Playwright's ``new_context``.

    A JavaScript error or a violation of the Content-Security-Policy fails the test.
    """
    contexts, errors = [], []

    def open_one(**options: Any) -> Page:
        context = chromium_browser.new_context(
            **{"base_url": server.url, "viewport": {"width": 1440, "height": 900}} | options
        )
        context.set_default_timeout(PATIENCE * 1_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if _is_page_error(line) else None)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def new_window(open_window: Callable[..., Page], session_cookies: Any) -> Callable[..., Page]:
    """Open a window that is signed in as ``person``."""
    return partial(open_window, storage_state=session_cookies)


def _is_page_error(line: Any) -> bool:
    """Whether a console message is an error of the page. Browsers and htmx log failed requests as errors too."""
    return line.type == "error" and "Failed to load resource" not in line.text and not line.text.startswith("htmx:")


@pytest.fixture
def visitor(open_window: Callable[..., Page]) -> Page:
    """A window that is not signed in."""
    return open_window()


@pytest.fixture
def window(new_window: Callable[..., Page]) -> Page:
    """A window that is signed in."""
    return new_window()


@pytest.fixture
def plain_window(new_window: Callable[..., Page]) -> Page:
    """A window that is signed in, without JavaScript."""
    return new_window(java_script_enabled=False)


@pytest.fixture
def axe(new_window: Callable[..., Page]) -> Callable[[str], None]:
    """Check a page's accessibility and width on a phone and a desktop, in light and dark mode."""
    page = new_window()

    def check(path: str) -> None:
        page.goto(path)
        check_accessibility(page)

    return check


def check_accessibility(page: Page) -> None:
    """Check the page that a window shows."""
    if not AXE.is_file():
        raise programs.ProgramMissingError("axe-core is not installed (scripts/test installs it with npm)")
    page.evaluate(AXE.read_text())
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            # Without transitions: axe would measure the contrast of intermediate colours.
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = page.evaluate("axe.run()")
            assert serious(found) == [], (page.url, width, scheme)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{page.url} is {wide} pixels wide in a window of {width}"


def serious(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The serious violations that axe has found: rule and first element."""
    violations = [each for each in found["violations"] if each["impact"] in SERIOUS]
    return [(each["id"], each["nodes"][0]["html"]) for each in violations]


Start = Callable[[list[str]], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command, without the proxy of the test's environment. The process is terminated at the end."""
    processes = []

    def start(command: list[str]) -> subprocess.Popen[str]:
        environ = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.terminate()
        process.communicate()
