"""Factories of rule trees, and fixtures that count announcements and queries."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from environments.models import Environment
from projects.models import Project

Tree = list[dict[str, Any]]


def condition(operator: str = "EQUAL", prop: str | None = "plan", value: Any = "pro", **more: Any) -> dict[str, Any]:
    return {"operator": operator, "property": prop, "value": value, **more}


def tree(*conditions: dict[str, Any]) -> Tree:
    """A tree as the dashboard sends it: an ALL rule with one ANY rule of these conditions."""
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "rules": [], "conditions": [*conditions]}]}]


@pytest.fixture
def path(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/segments/"


@pytest.fixture
def announced(project: Project) -> Callable[[], list[int]]:
    """The number of announcements, silent ones included, of each environment since the previous call."""
    previous = dict(Environment.objects.values_list("pk", "revision"))

    def since() -> list[int]:
        current = dict(project.environments.values_list("pk", "revision"))
        increases = [current[pk] - previous[pk] for pk in sorted(current)]
        previous.update(current)
        return increases

    return since


@pytest.fixture
def queries() -> Callable[[Callable[[], object]], int]:
    """Count the queries of a call."""

    def count(call: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            call()
        return len(captured)

    return count
