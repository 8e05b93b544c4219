"""The official JavaScript SDK in a browser, with flags of Flagsmith, our streams, and a page of another origin."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.javascript_sdk import SDKPage, sdk_origin
from tests.flagsmith.changes import CHANGES, Change
from tests.flagsmith.conftest import Plugged
from tests.support.api import Tenant
from tests.support.chromium import chromium

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with sdk_origin() as origin:
        yield origin


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(origin)
    yield page
    context.close()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_javascript_sdk__admin_changes_something__page_sees_it_without_polling(
    change: Change, tenant: Tenant, plugged: Plugged, page: Page
) -> None:
    act = change.prepare(tenant)
    plugged.flagsmith.settle()
    sdk = SDKPage(page, tenant, plugged.stream_url)
    assert sdk.seen() == change.before

    act()

    sdk.wait_for(change.after)
    assert sdk.errors == []
