"""The official JavaScript SDK in a real browser, on a page of another origin: it receives changes without polling."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.changes import CHANGES, Change, banner, write_as_flagsmith
from tests.e2e.javascript_sdk import SDKPage, sdk_origin
from tests.support.api import Tenant
from tests.support.chromium import chromium
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e


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
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.goto(origin)
    yield page
    context.close()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_javascript_sdk__admin_changes_something__page_of_another_origin_receives_it_without_polling(
    change: Change, tenant: Tenant, page: Page, origin: str
) -> None:
    make_change = change.prepare(tenant)
    sdk = SDKPage(page, tenant)
    assert sdk.seen() == change.before
    assert not tenant.api.url.startswith(origin)

    make_change()

    sdk.wait_for(change.after)
    # The event on connect caused no fetch: CORS exposes the version of the flags to the page.
    assert sdk.fetches() == 2
    assert sdk.errors == []


def test_javascript_sdk__version_chosen_by_flagsmith__fetched_once(
    server: ServerProcess, tenant: Tenant, page: Page
) -> None:
    feature = banner(tenant)
    write_as_flagsmith(server, tenant, feature, enabled=False)
    sdk = SDKPage(page, tenant)

    write_as_flagsmith(server, tenant, feature, enabled=True)

    sdk.wait_for((True, "old"))
    tenant.change(feature, enabled=False)
    sdk.wait_for((False, "old"))
    assert sdk.fetches() == 3
    assert sdk.errors == []
