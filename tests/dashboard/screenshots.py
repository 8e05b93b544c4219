"""Takes the screenshots in docs/images, for ``scripts/screenshots``."""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.support import programs, sse
from tests.support.api import AdminAPI
from tests.support.chromium import chromium
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess, migrated_sqlite

IMAGES = programs.ROOT / "docs" / "images"
STREAMS = 24
CHANGES = 8
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
TALL = {"width": 1280, "height": 1340}


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = stack.enter_context(ServerProcess(migrated_sqlite().copy(Path(folder))))
        demo = json.loads(server.manage("seed_demo", "--json"))
        stack.enter_context(traffic(server, demo))
        browser = stack.enter_context(chromium())
        for name, path, options in screenshots(demo):
            take(browser, server, demo, name, path, options)
            print(f"docs/images/{name}.png")


def screenshots(demo: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, path and browser options of each screenshot."""
    project = f"/projects/{demo['project_id']}/"
    base_path = f"{project}environments/{demo['environments'][0]['api_key']}/"
    colour = next(each["id"] for each in demo["features"] if each["name"] == "button_colour")
    yield "features", f"{base_path}features/", {}
    yield "features-dark", f"{base_path}features/", {"color_scheme": "dark"}
    yield "features-phone", f"{base_path}features/", {"viewport": PHONE}
    yield "feature", f"{base_path}features/{colour}/", {}
    yield "live", f"{base_path}live/", {"viewport": TALL}
    yield "segment", f"{project}segments/{demo['segment_id']}/", {}
    yield "change-request", f"{base_path}change-requests/1/", {}
    yield "sdk-settings", f"{project}settings/sdk/", {}
    yield "audit-log", f"{project}audit-log/", {}
    yield "usage", f"/organisations/{demo['organisation_id']}/usage/?project={demo['project_id']}", {}


def take(
    browser: Browser, server: ServerProcess, demo: dict[str, Any], name: str, path: str, options: dict[str, Any]
) -> None:
    context = browser.new_context(base_url=server.url, reduced_motion="reduce", **{"viewport": DESKTOP, **options})
    page = context.new_page()
    sign_in(page, demo)
    page.goto(path)
    if name == "live":
        wait_for_traffic(page)
    page.screenshot(path=IMAGES / f"{name}.png")
    context.close()


def wait_for_traffic(page: Page) -> None:
    """Wait until the page shows the streams (maybe with its own), all events and the plot of their latencies."""
    expect(page.locator("[data-streams]")).to_have_text(re.compile("^2[4-9]$"), timeout=PATIENCE * 1000)
    expect(page.locator(".events .sent strong")).to_have_count(CHANGES, timeout=PATIENCE * 1000)
    expect(page.locator("path.p50")).to_have_attribute("d", re.compile("."))


def sign_in(page: Page, demo: dict[str, Any]) -> None:
    page.goto("/sign-in/")
    page.fill("[name=email]", demo["email"])
    page.fill("[name=password]", demo["password"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Projects", level=1).wait_for()


@contextmanager
def traffic(server: ServerProcess, demo: dict[str, Any]) -> Iterator[None]:
    """Create data to show: open streams, events, requests, and a change scheduled for tomorrow."""
    api = AdminAPI(server.url, demo["token"])
    environment = demo["environments"][0]
    project = demo["project_id"]
    api.send("PATCH", f"projects/{project}/", {"enable_realtime_updates": True})
    states = api.get(f"environments/{environment['api_key']}/featurestates/")["results"]
    with ExitStack() as streams:
        clients = [streams.enter_context(sse.connect(server.port, environment["api_key"])) for _ in range(STREAMS)]
        versions = [client.next_event().updated_at for client in clients]
        for state in states[:CHANGES]:
            api.send(
                "PATCH",
                f"environments/{environment['api_key']}/featurestates/{state['id']}/",
                {"enabled": not state["enabled"]},
            )
            versions = [client.event_after(before).updated_at for client, before in zip(clients, versions, strict=True)]
            for _ in clients:
                api.response("GET", "flags/", headers={"X-Environment-Key": environment["api_key"]})
        schedule(api, environment, states[0])
        yield


def schedule(api: AdminAPI, environment: dict[str, Any], state: dict[str, Any]) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(hour=6, minute=0, second=0, microsecond=0)
    request = api.post(
        f"environments/{environment['api_key']}/create-change-request/",
        title="The new checkout, for everybody",
        description="After the last test in production.",
        feature_states=[
            {
                "feature": state["feature"],
                "enabled": not state["enabled"],
                "feature_state_value": {"type": "unicode", "string_value": "one page"},
                "live_from": tomorrow.isoformat(),
            }
        ],
    )
    api.post(f"features/workflows/change-requests/{request['id']}/commit/")


if __name__ == "__main__":
    main()
