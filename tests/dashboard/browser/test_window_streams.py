"""The dashboard's own stream in browsers: pages stay up to date while applications receive nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest
from playwright.sync_api import Page, Request, expect

from tests.dashboard.browser.conftest import LIMITS, Person, register, sign_in
from tests.support import sse
from tests.support.api import Tenant
from tests.support.patience import PATIENCE
from tests.support.server import MigratedSQLite, ServerProcess

pytestmark = pytest.mark.slow


def test_two_windows__real_time_off__other_window_follows_and_the_stream_is_silent(
    new_window: Callable[..., Page], tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    tenant.add_feature("banner")
    first, second = new_window(), new_window()
    for page in (first, second):
        page.goto(f"{base_path}features/")
        expect(page.get_by_text("Applications receive no events")).to_have_count(0)
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=False)
        for page in (first, second):
            expect(page.get_by_text("Applications receive no events: Real-time updates are off")).to_be_visible()
        first.get_by_role("switch", name="banner").click()
        expect(second.get_by_role("switch", name="banner")).to_have_attribute("aria-checked", "true")
        silent = tenant.version()
        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=True)
        assert stream.event_after(before).updated_at == tenant.version() > silent
    expect(second.get_by_text("Applications receive no events")).to_have_count(0)


def test_two_windows__one_signs_out__its_stream_ends_and_the_other_follows(
    open_window: Callable[..., Page], new_window: Callable[..., Page], tenant: Tenant, base_path: str, person: Person
) -> None:
    feature = tenant.add_feature("banner")
    leaving, staying = open_window(), new_window()
    sign_in(leaving, person)
    for page in (leaving, staying):
        page.goto(f"{base_path}features/")
    other_tab = leaving.context.new_page()
    other_tab.goto(f"{base_path}live/")
    expect(other_tab.locator("[data-windows]")).to_have_text("3")
    with leaving.expect_event("requestfinished", lambda request: request.url.endswith("/stream/")):
        other_tab.get_by_role("button", name="Sign out").click()
    tenant.change(feature["id"], enabled=True)
    expect(staying.get_by_role("switch", name="banner")).to_be_checked()
    expect(leaving.get_by_role("switch", name="banner")).not_to_be_checked()


@pytest.fixture
def short_streams(sqlite_template: MigratedSQLite, tmp_path: Path) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path) | LIMITS | {"REALTIME_STREAM_SECONDS": "4"}
    with ServerProcess(variables) as server:
        yield server


def test_window__streams_end_by_their_age__the_next_one_opens_before(
    short_streams: ServerProcess, open_window: Callable[..., Page]
) -> None:
    person = register(short_streams)
    tenant = Tenant.create(person.api)
    feature = tenant.add_feature("banner")
    window = open_window(base_url=short_streams.url)
    open_streams: set[Request] = set()
    numbers: list[int] = []

    def note(request: Request, *, is_open: bool) -> None:
        if not request.url.endswith("/stream/"):
            return
        (open_streams.add if is_open else open_streams.discard)(request)
        numbers.append(len(open_streams))

    window.on("request", lambda request: note(request, is_open=True))
    for end in ("requestfinished", "requestfailed"):
        window.on(end, lambda request: note(request, is_open=False))
    sign_in(window, person)
    window.goto(f"/projects/{tenant.project}/environments/{tenant.environment.key}/features/")
    deadline = monotonic() + PATIENCE
    while numbers.count(2) < 3 and monotonic() < deadline:
        window.wait_for_timeout(200)
    # From the first stream on there is always one, and at each change there are two.
    assert numbers[:1] == [1]
    assert set(numbers) == {1, 2}
    tenant.change(feature["id"], enabled=True)
    expect(window.get_by_role("switch", name="banner")).to_be_checked()
