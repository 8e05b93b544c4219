"""OpenFeature's providers: the web provider in a page of another origin, with streams only, and the one for Python."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from openfeature import api as openfeature
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagEvaluationDetails
from playwright.sync_api import Browser, Page, Request

from tests.e2e.modules import module_origin
from tests.support.patience import PATIENCE

Details = tuple[Any, Any, Any]
"""Value, reason, error code."""

UNAUTHORIZED = ("default", "ERROR", "GENERAL")
WITHOUT_TARGETING_KEY = ("default", "ERROR", "TARGETING_KEY_MISSING")


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


@contextmanager
def provider_page(browser: Browser, url: str, key: str) -> Iterator[ProviderPage]:
    """A page of another origin, whose provider has opened its stream to the server with this URL."""
    with module_origin() as origin:
        context = browser.new_context()
        page = context.new_page()
        page.goto(origin)
        yield ProviderPage(page, url, key)
        context.close()


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
