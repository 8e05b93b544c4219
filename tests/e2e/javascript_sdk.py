"""The official JavaScript SDK in a browser page whose origin differs from the server's."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, Request

from tests.e2e.changes import FEATURE, IDENTITY, TRAITS
from tests.support import programs
from tests.support.api import Tenant
from tests.support.chromium import pages
from tests.support.patience import PATIENCE

SDK = programs.E2E / "node_modules" / "@flagsmith" / "flagsmith" / "index.js"

PAGE = b"<!doctype html><title>A page</title><script src='/sdk.js'></script>"

START = """
async ([server, streams, environmentID, identity, traits]) => {
    window.changes = 0;
    await flagsmith.init({
        environmentID,
        api: server + "/api/v1/",
        eventSourceUrl: streams + "/",
        realtime: true,
        identity,
        traits,
        onChange: () => { window.changes += 1; },
    });
}
"""

GET_FLAG = "name => [flagsmith.hasFeature(name), flagsmith.getValue(name)]"


@contextmanager
def sdk_origin() -> Iterator[str]:
    """Serve a page that loads the SDK. Yields its origin."""
    if not SDK.is_file():
        raise programs.ProgramMissingError("the JavaScript SDK is not installed (scripts/test installs it with npm)")
    with pages({"/": ("text/html", PAGE), "/sdk.js": ("text/javascript", SDK.read_bytes())}) as origin:
        yield origin


class SDKPage:
    """A page in which the SDK runs, with its requests and errors.

    The SDK streams from ``realtime_url``, by default the URL of the API.
    """

    def __init__(self, page: Page, tenant: Tenant, realtime_url: str = "") -> None:
        self.page = page
        page.set_default_timeout(PATIENCE * 1000)
        self.requests: list[Request] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda request: self.errors.append(f"{request.url}: {request.failure}"))
        with page.expect_response(lambda response: response.url.split("?")[0].endswith("/stream")) as response:
            streams = realtime_url or tenant.api.url
            page.evaluate(START, [tenant.api.url, streams, tenant.environment.key, IDENTITY, TRAITS])
        assert response.value.status == 200

    def seen(self) -> tuple[bool, object]:
        """Enabled and value of the feature as the SDK has them."""
        enabled, value = self.page.evaluate(GET_FLAG, FEATURE)
        return enabled, value

    def wait_for(self, expected: tuple[bool, object]) -> None:
        condition = f"expected => JSON.stringify(({GET_FLAG})({FEATURE!r})) === JSON.stringify(expected)"
        self.page.wait_for_function(condition, arg=list(expected))

    def fetches(self) -> int:
        """The number of requests for the identity's flags."""
        return sum(request.method != "OPTIONS" and "/api/v1/identities/" in request.url for request in self.requests)
