"""An identity, and counters of versions and queries."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from environments.identities.models import Identity
from environments.models import Environment


@pytest.fixture
def path(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/identities/"


@pytest.fixture
def identity(environment: Environment) -> Identity:
    return Identity.objects.create(environment=environment, identifier="u1")


@pytest.fixture
def versions(environment: Environment) -> Callable[[], tuple[bool, int]]:
    """Returns whether ``updated_at`` has changed since the last call, and the number of new revisions."""
    rows = Environment.objects.filter(pk=environment.pk).values_list("updated_at", "revision")
    last = rows.get()

    def since() -> tuple[bool, int]:
        nonlocal last
        before, last = last, rows.all().get()
        return last[0] != before[0], last[1] - before[1]

    return since


@pytest.fixture
def queries() -> Callable[[Callable[[], object]], int]:
    """Returns the number of queries of a call."""

    def count(call: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            call()
        return len(captured)

    return count
