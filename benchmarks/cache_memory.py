"""The estimated and the real memory of cached environments: ``python -m benchmarks.cache_memory``.

2,000 environments by default: six tenths with 3 features, three tenths with 50, one tenth with 500. One process reads
``flags/``, the document and an identity of each through Django, as on a new server. The growth of its memory is
compared with the cache's estimate: first with a limit above the need, then with one below it, which the growth must
not exceed by more than ``TOLERANCE`` and the allocator's noise. Otherwise the exit status is 1.

The noise is what ``malloc_trim`` returns to the system after the reads: memory that the process has and does not use.
"""

import ctypes
import gc
import multiprocessing
import os
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks import proc, report
from benchmarks.report import Figures, Report
from tests.support.server import manage, migrated_sqlite

SIZES = ((3, 0.6), (50, 0.3), (500, 0.1))
"""The features of an environment, and the part of the environments that have so many."""

SEGMENTS = 5
UNLIMITED = 2**40
TOLERANCE = 0.2

MAKE = """
from environments.models import Environment, EnvironmentAPIKey
from organisations.models import Organisation
from projects.models import Project
from tests.scale.growth import Growth, grow
from users.models import FFAdminUser

organisation = Organisation.objects.get()
for features, number in {sizes}:
    project = Project.objects.create(name=f"{{features}} features", organisation=organisation)
    first = Environment.objects.create(name="first", project=project)
    by = Growth(features, environments=number - 1, segments={segments}, identities=0, entries=0, others=1)
    grow(first, by)
    EnvironmentAPIKey.objects.bulk_create(
        [EnvironmentAPIKey(environment=each, name="benchmark") for each in project.environments.all()]
    )
"""


def estimated_bytes() -> int:
    """The cache's own estimate of its memory."""
    from environment_documents.cache import environment_cache

    return environment_cache.memory_bytes


def clear() -> None:
    """Remove all environments from the cache."""
    from environment_documents.cache import environment_cache

    environment_cache.clear()


def read_all(pipe: Connection, variables: dict[str, str]) -> None:
    """The reading process's main function. Sends its figures."""
    os.environ.update(variables)
    import django

    django.setup()
    from django.test import Client

    from environments.models import EnvironmentAPIKey

    client = Client(headers={"host": "localhost"})
    keys = list(EnvironmentAPIKey.objects.order_by("pk").values_list("environment__api_key", "key"))

    def read(client_key: str, server_key: str) -> None:
        for path, key in (
            ("flags/", client_key),
            ("environment-document/", server_key),
            ("identities/?identifier=someone", client_key),
        ):
            answer = client.get(f"/api/v1/{path}", headers={"X-Environment-Key": key})
            if answer.status_code != 200:
                raise RuntimeError(f"{path} got {answer.status_code}: {answer.content[:300]!r}")

    # Imports, compiled queries and the allocator's first pages are not the cache's.
    for pair in keys[:20]:
        read(*pair)
    clear()
    _trim()
    before = proc.usage(os.getpid())
    for pair in keys:
        read(*pair)
    gc.collect()
    grown = proc.usage(os.getpid())
    _trim()
    after = proc.usage(os.getpid())
    estimate = estimated_bytes()
    pipe.send(
        {
            "estimated_mib": estimate / 2**20,
            "grown_rss_mib": (after.rss - before.rss) / 2**20,
            "grown_pss_mib": (after.pss - before.pss) / 2**20,
            "estimated_to_grown": estimate / max(1, after.pss - before.pss),
            "noise_mib": (grown.pss - after.pss) / 2**20,
        }
    )


def _trim() -> None:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def measure(environments: int, limits_mib: list[float]) -> list[Figures]:
    """The figures with each of these limits, or without one (0), in a new process each."""
    measured = []
    with tempfile.TemporaryDirectory() as name:
        variables = {"DJANGO_SETTINGS_MODULE": "settings.dev", "LOG_LEVEL": "WARNING"}
        variables |= migrated_sqlite().copy(Path(name))
        manage("seed_demo", "--json", variables=variables)
        sizes = [(features, max(1, round(part * environments))) for features, part in SIZES]
        code = MAKE.format(sizes=sizes, segments=SEGMENTS)
        manage("shell", "--verbosity=0", "-c", code, variables=variables)
        spawn = multiprocessing.get_context("spawn")
        for limit in limits_mib:
            report.progress(f"cache_memory: reading, limit {limit or 'none'}")
            limit_bytes = round(limit * 2**20) or UNLIMITED
            ours, theirs = spawn.Pipe()
            settings = {**variables, "DOCUMENT_CACHE_BYTES": str(limit_bytes)}
            process = spawn.Process(target=read_all, args=(theirs, settings))
            process.start()
            theirs.close()
            try:
                measured.append({"limit_mib": limit, **ours.recv()})
            except EOFError:
                raise RuntimeError("the reading process has failed") from None
            finally:
                process.join()
    return measured


def main() -> None:
    parser = report.parser("cache_memory", __doc__)
    parser.add_argument("--environments", type=int, default=2_000)
    parser.add_argument("--limit-mib", type=float, default=64, help="the second DOCUMENT_CACHE_BYTES")
    arguments = parser.parse_args()
    conditions = {"environments": arguments.environments, "features": str(SIZES), "segments": SEGMENTS}
    result = Report("cache_memory", "", "the cache's estimate, and what its process grows by", conditions)
    unlimited, limited = measure(arguments.environments, [0, arguments.limit_mib])
    result.add("without a limit", unlimited)
    result.add("with a limit", limited)
    allowed = arguments.limit_mib * (1 + TOLERANCE) + max(0.0, limited["noise_mib"])
    if unlimited["estimated_mib"] <= arguments.limit_mib:
        result.notes.append("the limit is not below the need, so it proves nothing")
    within = abs(unlimited["estimated_to_grown"] - 1) <= TOLERANCE and limited["grown_pss_mib"] <= allowed
    result.notes.append(
        f"estimate within {TOLERANCE:.0%}, growth at most {allowed:.0f} MiB: {'yes' if within else 'NO'}"
    )
    result.output(arguments)
    sys.exit(not within)


if __name__ == "__main__":
    main()
