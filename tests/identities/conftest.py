"""An identity, and whether anything was announced."""

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
    """Since the last call: was an event due, and how often did the environment's content change?"""
    rows = Environment.objects.filter(pk=environment.pk).values_list("updated_at", "revision")
    last = rows.get()

    def since() -> tuple[bool, int]:
        nonlocal last
        before, last = last, rows.all().get()
        return last[0] != before[0], last[1] - before[1]

    return since


@pytest.fixture
def queries() -> Callable[[Callable[[], object]], int]:
    """How many queries a call makes."""

    def count(call: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            call()
        return len(captured)

    return count
