"""The usage page in a browser: requests and streams are counted and plotted."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow


def test_usage__requests_and_a_stream__counted_and_drawn(
    window: Page, axe: Callable[[str], None], tenant: Tenant, server: ServerProcess
) -> None:
    path = f"/organisations/{tenant.organisation}/usage/?project={tenant.project}"
    for _ in range(3):
        tenant.flags()
    with sse.connect(server.port, tenant.environment.key) as stream:
        stream.next_event()
    # The counts are written periodically, and the stream's may be written later than the others.
    today = window.get_by_role("region", name="Figures by day").get_by_role("row").nth(1)
    window.goto(path)
    while today.get_by_role("cell").all_inner_texts() != ["3", "0", "0", "0", "3", "1"]:
        window.reload()
    plot = window.get_by_role("img", name="Billable requests by day")
    expect(plot).to_be_visible()
    expect(plot.locator("rect.flags")).to_have_count(1)
    expect(window.get_by_role("img", name="Stream connections by day")).to_be_visible()
    window.get_by_label("Days").select_option("7")
    expect(window.get_by_role("region", name="Figures by day").get_by_role("row")).to_have_count(9)
    expect(window.get_by_role("link", name="Usage", exact=True)).to_have_attribute("aria-current", "page")
    axe(path)
