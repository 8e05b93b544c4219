"""The official JavaScript SDK in a real browser, on a page of another origin: it has what an admin changes at once."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request

from tests.e2e.changes import CHANGES, FEATURE, IDENTITY, TRAITS, Change
from tests.support import programs
from tests.support.api import Tenant
from tests.support.chromium import chromium, pages

pytestmark = pytest.mark.e2e

# Milliseconds from the Admin API's call to the new value in the page. An event that comes while the SDK fetches is
# lost on it; it is said again after two seconds.
DEADLINE = 10_000

SDK = programs.E2E / "node_modules" / "@flagsmith" / "flagsmith" / "index.js"

PAGE = b"<!doctype html><title>A page</title><script src='/sdk.js'></script>"

START = """
async ([server, environmentID, identity, traits]) => {
    window.changes = 0;
    await flagsmith.init({
        environmentID,
        api: server + "/api/v1/",
        eventSourceUrl: server + "/",
        realtime: true,
        identity,
        traits,
        onChange: () => { window.changes += 1; },
    });
}
"""

SEEN = "name => [flagsmith.hasFeature(name), flagsmith.getValue(name)]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Where the page is; the server is elsewhere."""
    if not SDK.is_file():
        raise programs.ProgramMissingError("the JavaScript SDK is not installed (scripts/test installs it with npm)")
    with pages({"/": ("text/html", PAGE), "/sdk.js": ("text/javascript", SDK.read_bytes())}) as origin:
        yield origin


class SDKPage:
    """A page with the SDK running in it, and what it asks the server for."""

    def __init__(self, page: Page, tenant: Tenant) -> None:
        self.page = page
        self.requests: list[Request] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda request: self.errors.append(f"{request.url}: {request.failure}"))
        with page.expect_response(lambda response: response.url.split("?")[0].endswith("/stream")) as stream:
            page.evaluate(START, [tenant.api.url, tenant.environment.key, IDENTITY, TRAITS])
        assert stream.value.status == 200

    def seen(self) -> tuple[bool, object]:
        enabled, value = self.page.evaluate(SEEN, FEATURE)
        return enabled, value

    def wait_for(self, seen: tuple[bool, object]) -> None:
        condition = f"wanted => JSON.stringify(({SEEN})({FEATURE!r})) === JSON.stringify(wanted)"
        self.page.wait_for_function(condition, arg=list(seen), timeout=DEADLINE)

    def fetches(self) -> int:
        """How often the SDK has asked for its flags."""
        return sum(request.method != "OPTIONS" and "/api/v1/identities/" in request.url for request in self.requests)


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(origin)
    yield page
    context.close()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_javascript_sdk__admin_changes_something__page_of_another_origin_sees_it_without_polling(
    change: Change, tenant: Tenant, page: Page, origin: str
) -> None:
    act = change.prepare(tenant)
    sdk = SDKPage(page, tenant)
    assert sdk.seen() == change.before
    assert not tenant.api.url.startswith(origin)

    act()

    sdk.wait_for(change.after)
    # The event on connect made no fetch: the page may read the version of the flags that it has, and it is the event's.
    assert sdk.fetches() == 2
    assert sdk.errors == []
