"""A real Flagsmith with the drop-in server or the installed app: ``python -m benchmarks.plugged_in PATH [--json]``.

PATH is a checkout of Flagsmith. For each of its task modes, an admin toggles a flag by its API, one toggle at a time,
with one stream open at our server: the drop-in, or a process with the installed app. Measured: from the API's response
to the event (0 if the event arrives first), which is Flagsmith's time plus ours; for the drop-in, also from our own
``queue-change`` to the event, which is only ours; and for Flagsmith without our server, from the response until it has
written the new version to its database, and until its first post arrives at a receiver.
"""

import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import requests

from benchmarks import report
from benchmarks.latency import figures
from benchmarks.report import Figures, Report
from tests.flagsmith.beside import Beside
from tests.flagsmith.checkout import Checkout
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.monolith import Flagsmith, Tasks
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.detached import TOKEN
from tests.support.receiver import Receiver

WARM_UP = 3

VERSION = "SELECT updated_at FROM environments_environment WHERE api_key = %s"

POLL_SECONDS = 0.002

PATIENCE = 60


def measure(plugged: Beside | FlagsmithWithApp, toggles: int) -> Figures:
    """Measure so many toggles, and then as many posts."""
    tenant = plugged.flagsmith.tenant(AdminAPI.registered(plugged.flagsmith.url))
    feature = tenant.add_feature("banner")["id"]
    numbers = range(WARM_UP + toggles)
    with sse.connect(plugged.stream_port, tenant.environment.key) as stream:
        answered = [toggle(plugged.flagsmith, tenant, feature, stream, number % 2 == 0) for number in numbers]
        measured = figures("answer_to_event", answered[WARM_UP:])
        if isinstance(plugged, Beside):
            with requests.Session() as session:
                posted = [post(plugged, tenant, stream, session) for _ in numbers]
            measured |= figures("post_to_event", posted[WARM_UP:])
    return measured


def measure_alone(flagsmith: Flagsmith, receiver: Receiver, toggles: int) -> Figures:
    """Measure so many toggles of a Flagsmith without our server."""
    tenant = flagsmith.tenant(AdminAPI.registered(flagsmith.url))
    feature = tenant.add_feature("banner")["id"]
    written: list[float] = []
    posted: list[float] = []
    with psycopg.connect(flagsmith.settings["DATABASE_URL"], autocommit=True) as connection:
        for number in range(WARM_UP + toggles):
            flagsmith.settle()
            receiver.rest()
            before = datetime.now(UTC)
            tenant.change(feature, enabled=number % 2 == 0)
            answered = time.perf_counter()
            written.append(until_written(connection, tenant, before) - answered)
            while datetime.fromisoformat(receiver.next(PATIENCE).json()["updated_at"]) <= before:
                continue
            posted.append(time.perf_counter() - answered)
    return figures("answer_to_version", at_least_zero(written)) | figures("answer_to_post", at_least_zero(posted))


def until_written(connection: psycopg.Connection, tenant: Tenant, before: datetime) -> float:
    """Wait until the environment's version is newer, and return the time (``time.perf_counter``)."""
    while True:
        row = connection.execute(VERSION, [tenant.environment.key]).fetchone()
        assert row is not None
        if row[0] > before:
            return time.perf_counter()
        time.sleep(POLL_SECONDS)


def at_least_zero(seconds: list[float]) -> list[float]:
    """The durations after the warm-up; a negative one, of an event before the response, counts as 0."""
    return [max(0.0, one) for one in seconds[WARM_UP:]]


def toggle(flagsmith: Flagsmith, tenant: Tenant, feature: int, stream: sse.Stream, enabled: bool) -> float:
    """The time from the response to the event."""
    flagsmith.settle()
    before = Decimal(time.time_ns()) / 1_000_000_000
    tenant.change(feature, enabled=enabled)
    answered = time.perf_counter()
    return max(0.0, stream.event_after(before, PATIENCE).at - answered)


def post(both: Beside, tenant: Tenant, stream: sse.Stream, session: requests.Session) -> float:
    """The time from a post, as Flagsmith sends it, to the event."""
    now = datetime.now(UTC)
    before = Decimal(now.timestamp()) - 1 / Decimal(1_000_000)
    url = f"{both.drop_in.url}/sse/environments/{tenant.environment.key}/queue-change"
    began = time.perf_counter()
    session.post(url, json={"updated_at": now.isoformat()}, headers={"Authorization": f"Token {TOKEN}"}, timeout=10)
    return stream.event_after(before, PATIENCE).at - began


def main() -> None:
    parser = report.parser("plugged_in", __doc__)
    parser.add_argument("path", type=Path, help="a checkout of Flagsmith")
    parser.add_argument("--toggles", type=int, default=50)
    arguments = parser.parse_args()
    checkout = Checkout(arguments.path)
    conditions = {"flagsmith": checkout.version, "toggles": arguments.toggles}
    result = Report("plugged_in", "", "from a real Flagsmith's response to the event on our stream", conditions)
    for tasks in Tasks:
        report.progress(f"plugged_in: {tasks.value}")
        with Receiver() as receiver:
            settings = {"SSE_SERVER_BASE_URL": f"http://127.0.0.1:{receiver.port}", "SSE_AUTHENTICATION_TOKEN": TOKEN}
            with Flagsmith(checkout, tasks, settings) as flagsmith:
                result.add(f"alone, {tasks.value.lower()}", measure_alone(flagsmith, receiver, arguments.toggles))
        with tempfile.TemporaryDirectory() as folder, Beside(checkout, tasks, Path(folder)) as both:
            result.add(f"drop-in, {tasks.value.lower()}", measure(both, arguments.toggles))
        with FlagsmithWithApp(checkout, tasks, {}) as flagsmith:
            result.add(f"app, {tasks.value.lower()}", measure(flagsmith, arguments.toggles))
    result.output(arguments)


if __name__ == "__main__":
    main()
