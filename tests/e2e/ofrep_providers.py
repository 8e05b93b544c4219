"""OpenFeature's providers: for the web in a page of another origin, with streams only; for servers, Python and Node."""

import itertools
import json
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import requests
from openfeature import api as openfeature
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagEvaluationDetails
from playwright.sync_api import Browser, Page, Request

from tests.e2e.modules import MODULES, module_origin
from tests.support import programs
from tests.support.api import Tenant
from tests.support.patience import PATIENCE

Details = tuple[Any, Any, Any]
"""Value, reason, error code."""

UNAUTHORIZED = ("default", "ERROR", "GENERAL")
WITHOUT_TARGETING_KEY = ("default", "ERROR", "TARGETING_KEY_MISSING")

# Flags of ``tests.ofrep.conftest.with_flags``, each with a default of the requested type.
EVALUATIONS: list[tuple[str, Any]] = [
    ("on", False),
    ("off", True),
    ("text", "default"),
    ("number", 7),
    ("json", {"default": True}),
    ("missing", "default"),
    ("text-off", "default"),
    ("banner", "default"),
]
EXPECTED: list[Details] = [
    (True, "STATIC", None),
    (False, "STATIC", None),
    ("red", "STATIC", None),
    (42, "STATIC", None),
    ({"default": True}, "ERROR", "TYPE_MISMATCH"),
    ("default", "ERROR", "FLAG_NOT_FOUND"),
    ("default", "DISABLED", None),
    ("for pros", "TARGETING_MATCH", None),
]

SWITCH = "off"
"""The flag that ``switch_of`` changes."""

TOGGLES = 40

CHANGE_SECONDS = 0.05
RESTARTS = 2

# The provider's errors are in the details, also that of a page without a targeting key.
PROVIDER = """
import { OpenFeature, ProviderEvents } from "@openfeature/web-sdk";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
window.changedAt = [];
const provider = new OFREPWebProvider({ baseUrl: "%s", headers: [["X-API-Key", "%s"]] });
await OpenFeature.setProviderAndWait(provider, { targetingKey: "ada", plan: "pro" });
const client = OpenFeature.getClient();
client.addHandler(ProviderEvents.ConfigurationChanged, () => {
  window.changedAt.push(performance.timeOrigin + performance.now());
});
window.read = (name, fallback) => {
  const type = { boolean: "Boolean", string: "String", number: "Number", object: "Object" }[typeof fallback];
  return client[`get${type}Details`](name, fallback);
};
window.setContext = context => OpenFeature.setContext(context);
"""


class ProviderPage:
    """A page in which the provider runs."""

    def __init__(self, page: Page, url: str, key: str) -> None:
        self.page = page
        self.evaluations: list[Request] = []
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on("request", self._sent)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(page.url)
        with page.expect_response(lambda response: "/ofrep/v1/streams/" in response.url) as stream:
            page.add_script_tag(type="module", content=PROVIDER % (url, key))
        assert stream.value.status == 200
        page.wait_for_function("() => window.read")
        # The evaluation for the event on connect.
        self.wait_for_evaluations(2)

    def _sent(self, request: Request) -> None:
        if request.method == "POST" and "/ofrep/v1/evaluate/flags" in request.url:
            self.evaluations.append(request)

    def wait_for_evaluations(self, number: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self.evaluations) < number:
            assert time.monotonic() < deadline, [request.url for request in self.evaluations]
            self.page.wait_for_timeout(10)

    def details(self, name: str, default: Any) -> tuple[Any, str, str | None]:
        found = self.page.evaluate("([name, fallback]) => window.read(name, fallback)", [name, default])
        return found["value"], found["reason"], found.get("errorCode")

    def wait_for(self, name: str, value: Any) -> None:
        self.page.wait_for_function(
            "([name, value]) => window.read(name, typeof value === 'boolean' ? !value : '').value === value",
            arg=[name, value],
        )

    def toggle(self, switch: Callable[[bool], Any]) -> str:
        """Change the flag ``SWITCH`` TOGGLES times, each time until the page has the value. Returns the delays."""
        sent: list[float] = []
        for number in range(TOGGLES):
            enabled = number % 2 == 0
            sent.append(time.time() * 1000)
            switch(enabled)
            self.wait_for(SWITCH, enabled)
        changed = self.page.evaluate("() => window.changedAt")
        assert len(changed) == TOGGLES
        delays = sorted(after - before for before, after in zip(sent, changed, strict=True))
        p50, p99 = statistics.median(delays), delays[-1 - TOGGLES // 100]
        return f"from the admin's request to the new value in the page: p50 {p50:.1f} ms, p99 {p99:.1f} ms"


@contextmanager
def provider_page(browser: Browser, url: str, key: str) -> Iterator[ProviderPage]:
    """A page of another origin, whose provider has opened its stream to the server with this URL."""
    with module_origin() as origin:
        context = browser.new_context()
        page = context.new_page()
        page.goto(origin)
        yield ProviderPage(page, url, key)
        context.close()


@contextmanager
def repeated(change: Callable[[int], Any]) -> Iterator[None]:
    """Call this function in a thread with rising numbers, also while the server accepts no connections."""
    stopped = threading.Event()

    def repeat() -> None:
        for number in itertools.count():
            with suppress(requests.ConnectionError):
                change(number)
            if stopped.wait(CHANGE_SECONDS):
                return

    with ThreadPoolExecutor(1) as threads:
        changes = threads.submit(repeat)
        try:
            yield
        finally:
            stopped.set()
    changes.result()


def switch_of(tenant: Tenant) -> Callable[[bool], Any]:
    """A function that turns the flag ``SWITCH`` of ``with_flags`` on or off, by one request to the Admin API."""
    found = tenant.api.get(f"projects/{tenant.project}/features/?search={SWITCH}")["results"]
    (feature,) = [each["id"] for each in found if each["name"] == SWITCH]
    state = f"environments/{tenant.environment.key}/featurestates/{tenant.state(feature)['id']}/"
    return lambda enabled: tenant.api.patch(state, enabled=enabled)


def evaluate_in_python(url: str, key: str, evaluations: list[tuple[str, Any]]) -> list[Details]:
    """Evaluate flags, each with a default; then with a wrong key, and without a targeting key."""
    results: list[Details] = []

    def evaluate(key: str, name: str, default: Any, context: EvaluationContext) -> None:
        openfeature.set_provider(OFREPProvider(url, headers_factory=lambda: {"X-API-Key": key}))
        kind = {bool: "boolean", str: "string", int: "integer", dict: "object"}[type(default)]
        found: FlagEvaluationDetails[Any] = getattr(openfeature.get_client(), f"get_{kind}_details")(
            name, default, context
        )
        results.append((found.value, found.reason, found.error_code))

    ada = EvaluationContext("ada", {"plan": "pro"})
    for name, default in evaluations:
        evaluate(key, name, default, ada)
    evaluate("wrong", "text", "default", ada)
    evaluate(key, "text", "default", EvaluationContext())
    openfeature.shutdown()
    return results


IN_NODE = """
import { OpenFeature } from "@openfeature/server-sdk";
import { OFREPProvider } from "@openfeature/ofrep-provider";
const [baseUrl, key, evaluations] = JSON.parse(process.argv[1]);
const results = [];
async function evaluate(key, name, fallback, context) {
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers: [["X-API-Key", key]] }));
  const type = { boolean: "Boolean", string: "String", number: "Number", object: "Object" }[typeof fallback];
  const found = await OpenFeature.getClient()[`get${type}Details`](name, fallback, context);
  results.push([found.value, found.reason, found.errorCode ?? null]);
}
const ada = { targetingKey: "ada", plan: "pro" };
for (const [name, fallback] of evaluations) await evaluate(key, name, fallback, ada);
await evaluate("wrong", "text", "default", ada);
await evaluate(key, "text", "default", {});
console.log(JSON.stringify(results));
"""


def evaluate_in_node(url: str, key: str, evaluations: list[tuple[str, Any]]) -> list[Details]:
    """As ``evaluate_in_python``."""
    if not (MODULES / "@openfeature").is_dir():
        raise programs.ProgramMissingError("npm's packages are not installed (scripts/test installs them)")
    done = subprocess.run(
        [programs.require("node"), "--input-type=module", "-e", IN_NODE, json.dumps([url, key, evaluations])],
        cwd=programs.E2E,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(result) for result in json.loads(done.stdout)]


Evaluate = Callable[[str, str, list[tuple[str, Any]]], list[Details]]

# The released provider for Node (0.1.3) takes an evaluation without a value for an invalid response.
IN_NODE_EXPECTED = [("default", "ERROR", "GENERAL") if each[1] == "DISABLED" else each for each in EXPECTED]

FOR_SERVERS = [
    pytest.param(evaluate_in_python, [*EXPECTED, UNAUTHORIZED, WITHOUT_TARGETING_KEY], id="python"),
    pytest.param(evaluate_in_node, [*IN_NODE_EXPECTED, UNAUTHORIZED, WITHOUT_TARGETING_KEY], id="node"),
]
"""Providers for servers: a function that evaluates, and its results for ``EVALUATIONS``."""
