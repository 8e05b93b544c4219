"""A project with 1,000 features, 50 environments and 200 segments: ``python -m benchmarks.scale [--json] [--save]``.

How long the server works for each GET end point, first pages and whole lists, and for a new feature and a new
environment there. In this process, through all of Django, without a network. The best of several counts: what comes on
top is what else the machine does.
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
from tests.scale.reading import Reading, readings  # noqa: E402

TARGETS = {"list_ms": 100.0, "creation_ms": 1000.0}


@contextmanager
def database() -> Iterator[None]:
    """A new one, which is gone afterwards."""
    setup_test_environment()
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def best(repeats: int, call: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds and queries of a call that must succeed."""
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


def fetch(reading: Reading) -> Callable[[], Any]:
    client = APIClient()
    return lambda: client.generic("GET", reading.path, headers=reading.headers)


def main() -> None:
    arguments = parser("scale", __doc__)
    arguments.add_argument("--repeats", type=int, default=7)
    arguments.add_argument("--all", action="store_true", help="print every end point, not the slowest alone")
    options = arguments.parse_args()

    report = Report("scale", "", "the Admin API at 1,000 features, 50 environments and 200 segments")
    report.conditions = {"database": connection.vendor, "best_of": options.repeats}
    with database():
        progress("scale: making the project")
        served = routes.api()
        world = make_world("owner", served)
        # As a server does when it starts: what is imported is no garbage.
        gc.collect()
        gc.freeze()
        grow(world.a, LARGE)
        measured = {}
        for reading in readings(world, served):
            measured[reading.says] = best(options.repeats, fetch(reading))
        shown = sorted(measured, key=lambda says: -measured[says]["best_ms"])
        for says in shown if options.all or options.json else shown[:25]:
            report.add(says, measured[says])
        for says, make in creations(world).items():
            report.add(says, best(options.repeats, make))
    slow = [says for says in measured if measured[says]["best_ms"] > TARGETS["list_ms"]]
    report.notes.append(f"{len(measured)} end points and lists read; above {TARGETS['list_ms']:g} ms: {slow or 'none'}")
    report.tell(options)


if __name__ == "__main__":
    main()
