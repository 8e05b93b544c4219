"""Response times in a project with 1,000 features, 50 environments and 200 segments: ``python -m benchmarks.scale``.

The time of each GET endpoint, for first pages and whole lists, and of a new feature and a new environment. In this
process, through all of Django, without a network. The best of several runs counts, because the rest is other load on
the machine.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.test")
django.setup()

from django.core.cache import cache  # noqa: E402
from django.db import connection  # noqa: E402
from django.test.utils import CaptureQueriesContext, setup_test_environment  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402

from benchmarks.report import Report, parser, progress  # noqa: E402
from tests.hostile import routes  # noqa: E402
from tests.hostile.whole_world import WholeWorld, make_world  # noqa: E402
from tests.scale.growth import LARGE, grow  # noqa: E402
from tests.scale.read_requests import ReadRequest, read_requests  # noqa: E402

TARGETS = {"list_ms": 100.0, "creation_ms": 1000.0}


@contextmanager
def database() -> Iterator[None]:
    """Create a test database, and drop it afterwards."""
    setup_test_environment()
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def best(repeats: int, call: Callable[[], Any]) -> dict[str, float]:
    """The best time and the number of queries of a call that must succeed."""
    times = []
    for _ in range(repeats):
        cache.clear()
        started = time.perf_counter()
        answer = call()
        times.append((time.perf_counter() - started) * 1000)
        if answer.status_code >= 300:
            raise RuntimeError(f"{answer.status_code} {answer.content[:300]!r}")
    cache.clear()
    with CaptureQueriesContext(connection) as queries:
        answer = call()
    return {"best_ms": min(times), "queries": len(queries), "kib": len(answer.content) / 1024}


def creations(world: WholeWorld) -> dict[str, Callable[[], Any]]:
    numbers = count()

    def post(path: str, **body: Any) -> Any:
        return world.admin.post(f"/api/v1/{path}", {"name": f"new-{next(numbers)}", **body}, "json")

    return {
        "POST a feature": lambda: post(f"projects/{world.project.pk}/features/", initial_value="v"),
        "POST an environment": lambda: post("environments/", project=world.project.pk),
        "POST a clone of an environment": lambda: post(f"environments/{world.a.api_key}/clone/"),
        "POST a segment": lambda: post(f"projects/{world.project.pk}/segments/", rules=world.segment["rules"]),
    }


def fetch(request: ReadRequest) -> Callable[[], Any]:
    client = APIClient()
    return lambda: client.generic("GET", request.path, headers=request.headers)


def main() -> None:
    arguments = parser("scale", __doc__)
    arguments.add_argument("--repeats", type=int, default=7)
    arguments.add_argument("--all", action="store_true", help="print all endpoints, not only the slowest")
    options = arguments.parse_args()

    report = Report("scale", "", "the Admin API at 1,000 features, 50 environments and 200 segments")
    report.conditions = {"database": connection.vendor, "best_of": options.repeats}
    with database():
        progress("scale: making the project")
        served = routes.api()
        world = make_world("owner", served)
        # As a server does at its start (realtime.serving.lifespan).
        gc.collect()
        gc.freeze()
        grow(world.a, LARGE)
        measured = {}
        for request in read_requests(world, served):
            measured[request.name] = best(options.repeats, fetch(request))
        shown = sorted(measured, key=lambda name: -measured[name]["best_ms"])
        for name in shown if options.all or options.json else shown[:25]:
            report.add(name, measured[name])
        for name, make in creations(world).items():
            report.add(name, best(options.repeats, make))
    slow = [name for name in measured if measured[name]["best_ms"] > TARGETS["list_ms"]]
    report.notes.append(f"{len(measured)} endpoints and lists; above {TARGETS['list_ms']:g} ms: {slow or 'none'}")
    report.output(options)


if __name__ == "__main__":
    main()
