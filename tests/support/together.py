"""Scheduling of tests in several processes: tests that share a server run in one process, so it starts once."""

from xdist.scheduler import LoadScopeScheduling

# Folders and files with fixtures that many tests share.
TOGETHER = (
    "tests/bus/test_listening.py",
    "tests/bus/test_processes.py",
    "tests/core/test_bodies.py",
    "tests/dashboard/browser/",
    "tests/deploy/test_image.py",
    "tests/deploy/test_nginx.py",
    "tests/deploy/test_rolling_restart.py",
    "tests/detached/",
    "tests/doors/",
    "tests/e2e/",
    "tests/faults/",
    "tests/hostapp/",
    "tests/hostile/test_routes.py",
    "tests/metrics/test_liveness.py",
    "tests/metrics/test_scrape.py",
    "tests/permissions/test_matrix.py",
    "tests/relay/shared/test_edge_proxy.py",
    "tests/relay/shared/test_ofrep.py",
    "tests/relay/shared/test_streams.py",
    "tests/relay/test_documents.py",
    "tests/schema/",
    "tests/scripts/test_run.py",
    "tests/triggers/",
    "tests/wire/",
)
# One server each.
FLAVOURS = ("uvicorn on postgresql", "daphne", "uvicorn")


class Together(LoadScopeScheduling):
    """The largest groups first, then all other tests one by one.

    xdist's own groups do not work with pytest 9.2, which has no ``_nodeid``.
    """

    def _split_scope(self, nodeid: str) -> str:
        """The name of the test's group, or of the test if it is in none."""
        for place in TOGETHER:
            if nodeid.startswith(place):
                flavours = [flavour for flavour in FLAVOURS if flavour in nodeid.partition("[")[2]]
                return f"{place} {flavours[0] if flavours else ''}"
        return nodeid
