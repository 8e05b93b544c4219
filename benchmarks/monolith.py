"""The app in a real Flagsmith's own processes: ``python -m benchmarks.monolith PATH [--json]``.

PATH is a checkout of Flagsmith. Flagsmith runs with two workers of gunicorn, in each task mode. Measured:

* from the response to a toggle until a stream has the event, and until the Python SDK (local evaluation) and the
  JavaScript SDK (in Chromium) have the new value;
* from ``live_from`` of a scheduled change until a stream has the event;
* Flagsmith's own responses to a toggle and to ``flags/``, without the app and with it, one after the other.
"""

import argparse
import time
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import requests

from benchmarks import report
from benchmarks.latency import figures
from benchmarks.report import Figures, Report
from tests.e2e.javascript_sdk import SDKPage, sdk_origin
from tests.e2e.python_sdk import Client
from tests.flagsmith.change_requests import ChangeRequest, commit
from tests.flagsmith.checkout import Checkout
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.monolith import Flagsmith, Tasks
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.chromium import chromium

WORKERS = {"GUNICORN_WORKERS": "2"}

WARM_UP = 5

PATIENCE = 60

# Until the first scheduled change goes live. It has to be committed before that.
SCHEDULE_SECONDS = 15

# The time of the last change in the page, by the clock of the machine.
STAMPED = """
Object.defineProperty(window, "changes", {
    set(number) { this.number = number; this.stamp = performance.timeOrigin + performance.now(); },
    get() { return this.number; },
})
"""


class TimedClient(Client):
    """The Python SDK, with the time of its last fetch that changed the feature."""

    changed_to: bool | None = None
    changed_at = 0.0

    def update_environment(self) -> None:
        super().update_environment()
        if self.fetches == 1:
            # The SDK is not complete yet.
            return
        with self.fetched:
            enabled, _ = self.seen()
            if enabled != self.changed_to:
                self.changed_to, self.changed_at = enabled, time.perf_counter()
            self.fetched.notify_all()


def prepared(flagsmith: Flagsmith) -> tuple[Tenant, int]:
    tenant = flagsmith.tenant(AdminAPI.registered(flagsmith.url))
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    flagsmith.analyze()
    return tenant, feature


def toggle_each(flagsmith: FlagsmithWithApp, toggles: int) -> Figures:
    """From the response to the event, and to the value in each SDK."""
    tenant, feature = prepared(flagsmith)
    events: list[float] = []
    python: list[float] = []
    javascript: list[float] = []
    with ExitStack() as stack:
        page = stack.enter_context(chromium()).new_page()
        page.goto(stack.enter_context(sdk_origin()))
        page.evaluate(STAMPED)
        sdk = SDKPage(page, tenant, flagsmith.stream_url)
        client = TimedClient.of(tenant, flagsmith.stream_url)
        stack.callback(client.event_stream_thread.stop)
        stream = stack.enter_context(sse.connect(flagsmith.stream_port, tenant.environment.key))
        for number in range(WARM_UP + toggles):
            time.sleep(0.3)
            enabled = number % 2 == 0
            state = tenant.state(feature)["id"]
            path = f"environments/{tenant.environment.key}/featurestates/{state}/"
            before = Decimal(time.time_ns()) / 1_000_000_000
            tenant.api.put(path, enabled=enabled)
            answered, clock = time.perf_counter(), time.time()
            events.append(stream.event_after(before, PATIENCE).at - answered)
            with client.fetched:
                assert client.fetched.wait_for(lambda: client.changed_to == enabled, PATIENCE)  # noqa: B023
            python.append(client.changed_at - answered)
            sdk.wait_for((enabled, "old"))
            javascript.append(page.evaluate("window.stamp") / 1_000 - clock)
    return (
        figures("answer_to_event", events[WARM_UP:])
        | figures("answer_to_python_sdk", python[WARM_UP:])
        | figures("answer_to_javascript_sdk", javascript[WARM_UP:])
    )


def schedule(flagsmith: FlagsmithWithApp, changes: int) -> Figures:
    """From each ``live_from`` to its event. The changes go live one second apart."""
    tenant, _ = prepared(flagsmith)
    made = [
        ChangeRequest(tenant, tenant.add_feature(f"scheduled{number}")["id"], "new", SCHEDULE_SECONDS + number)
        for number in range(changes)
    ]
    with sse.connect(flagsmith.stream_port, tenant.environment.key) as stream:
        moments = commit(flagsmith, *made)
        offset = time.time() - time.perf_counter()
        late = [
            stream.event_after(Decimal(moment.timestamp()), PATIENCE).at + offset - moment.timestamp()
            for moment in moments
        ]
    return {**figures("live_from_to_event", late), "live_from_to_event_last_ms": max(late) * 1_000}


class Requests:
    """The durations of one Flagsmith's responses."""

    def __init__(self, flagsmith: Flagsmith) -> None:
        self.tenant, self.feature = prepared(flagsmith)
        self.state = self.tenant.state(self.feature)["id"]
        self.session = requests.Session()
        self.session.headers["X-Environment-Key"] = self.tenant.environment.key
        self.toggles: list[float] = []
        self.flags: list[float] = []

    def once(self, number: int) -> None:
        path = f"environments/{self.tenant.environment.key}/featurestates/{self.state}/"
        began = time.perf_counter()
        self.tenant.api.patch(path, enabled=number % 2 == 0)
        self.toggles.append(time.perf_counter() - began)
        time.sleep(0.05)
        for _ in range(4):
            began = time.perf_counter()
            self.session.get(f"{self.tenant.api.url}/api/v1/flags/", timeout=PATIENCE).raise_for_status()
            self.flags.append(time.perf_counter() - began)

    def figures(self) -> Figures:
        return figures("toggle", self.toggles[WARM_UP:]) | figures("flags", self.flags[4 * WARM_UP :])


def compare_requests(checkout: Checkout, tasks: Tasks, number: int) -> dict[str, Figures]:
    with Flagsmith(checkout, tasks, WORKERS) as plain, FlagsmithWithApp(checkout, tasks, WORKERS) as with_app:
        subjects = {"without the app": Requests(plain), "with the app": Requests(with_app)}
        for index in range(WARM_UP + number):
            for subject in subjects.values():
                subject.once(index)
    return {name: subject.figures() for name, subject in subjects.items()}


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument("path", type=Path, help="a checkout of Flagsmith")
    parser.add_argument("--toggles", type=int, default=40)
    parser.add_argument("--scheduled", type=int, default=10)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--tasks", choices=[tasks.name for tasks in Tasks], nargs="*", default=[t.name for t in Tasks])
    parser.add_argument("--parts", choices=["toggles", "scheduled", "requests"], nargs="*")
    return parser.parse_args()


def main() -> None:
    arguments = arguments_of(report.parser("monolith", __doc__))
    parts = arguments.parts or ["toggles", "scheduled", "requests"]
    checkout = Checkout(arguments.path)
    conditions = {"flagsmith": checkout.version, "workers": 2, "toggles": arguments.toggles}
    result = Report("monolith", "", "the app in a real Flagsmith's processes", conditions)
    for tasks in (Tasks[name] for name in arguments.tasks):
        name = tasks.value.lower()
        report.progress(f"monolith: {name}")
        if "toggles" in parts or "scheduled" in parts:
            with FlagsmithWithApp(checkout, tasks, WORKERS) as flagsmith:
                if "toggles" in parts:
                    result.add(name, toggle_each(flagsmith, arguments.toggles))
                if "scheduled" in parts:
                    result.add(f"{name}, scheduled", schedule(flagsmith, arguments.scheduled))
        if "requests" in parts:
            for subject, measured in compare_requests(checkout, tasks, arguments.requests).items():
                result.add(f"{name}, {subject}", measured)
    result.output(arguments)


if __name__ == "__main__":
    main()
