"""The dashboard's code snippets, run with the real packages: each receives a change of a flag.

Snippets for Kotlin, Swift, Flutter, Ruby and Go are not run: their toolchains are not installed.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openfeature import api as openfeature
from playwright.sync_api import Browser, Page

from dashboard.settings.snippets import SNIPPETS
from tests.e2e.modules import MODULES, module_origin
from tests.support import programs
from tests.support.api import Tenant
from tests.support.chromium import chromium
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Reads the flag as each snippet's application does.
PAGES = {
    "react-native": "flagsmith.hasFeature('banner')",
    "openfeature-web": "client.getBooleanValue('banner', false)",
    "openfeature-flagsmith-web": "client.getBooleanValue('banner', false)",
}
NODE = {
    "node": "(await flagsmith.getEnvironmentFlags()).isFeatureEnabled('banner')",
    "openfeature-flagsmith-node": "await client.getBooleanValue('banner', false, { targetingKey: 'user-1' })",
}
PYTHON = ("openfeature-python", "openfeature-flagsmith-python")

# Reads repeatedly, and prints each new value.
PRINT_CHANGES = """
let last;
setInterval(async () => {{
  const value = {read};
  if (value !== last) console.error("value", (last = value));
}}, 20);
"""


def snippet(name: str, tenant: Tenant) -> str:
    template = next(each for each in SNIPPETS if each.id == name)
    return template.rendered(tenant.api.url, tenant.environment.key, tenant.environment.server_key).text


@pytest.fixture
def switch(tenant: Tenant) -> Callable[[bool], Any]:
    """A function that turns the flag on or off."""
    feature = tenant.add_feature("banner")["id"]
    return lambda enabled: tenant.change(feature, enabled=enabled)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without CORS, as React Native. The tests of each SDK check CORS."""
    with chromium("--disable-web-security") as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with module_origin() as origin:
        context = browser.new_context()
        page = context.new_page()
        page.goto(origin)
        yield page
        context.close()


@pytest.mark.parametrize("name", PAGES)
def test_snippet__in_a_page__receives_changes(
    name: str, tenant: Tenant, switch: Callable[[bool], Any], page: Page
) -> None:
    page.add_script_tag(type="module", content=f"{snippet(name, tenant)}\nwindow.read = () => {PAGES[name]};")
    for enabled in (False, True, False):
        switch(enabled)
        page.wait_for_function(
            "enabled => window.read && window.read() === enabled", arg=enabled, timeout=PATIENCE * 1000
        )


@pytest.mark.parametrize("name", NODE)
def test_snippet__in_node__receives_changes(name: str, tenant: Tenant, switch: Callable[[bool], Any]) -> None:
    node = programs.require("node")
    if not (MODULES / "eventsource").is_dir():
        raise programs.ProgramMissingError("npm's packages are not installed (scripts/test installs them)")
    code = snippet(name, tenant) + PRINT_CHANGES.format(read=NODE[name])
    process = subprocess.Popen(
        [node, "--input-type=module", "-e", code],
        cwd=programs.E2E,
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    # A watchdog, because a read of the output has no timeout.
    watchdog = threading.Timer(2 * PATIENCE, process.kill)
    watchdog.start()
    try:
        assert process.stderr is not None
        for enabled in (False, True, False):
            switch(enabled)
            printed = []
            for line in process.stderr:
                printed.append(line)
                if line == f"value {json.dumps(enabled)}\n":
                    break
            else:
                pytest.fail("".join(printed))
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", PYTHON)
def test_snippet__in_python__receives_changes(name: str, tenant: Tenant, switch: Callable[[bool], Any]) -> None:
    scope: dict[str, Any] = {}
    exec(snippet(name, tenant), scope)  # noqa: S102
    try:
        for enabled in (False, True, False):
            switch(enabled)
            deadline = time.monotonic() + PATIENCE
            context = scope["EvaluationContext"]("user-1")
            while scope["client"].get_boolean_value("banner", not enabled, context) is not enabled:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        openfeature.shutdown()
        if "flagsmith" in scope:
            scope["flagsmith"].event_stream_thread.stop()
