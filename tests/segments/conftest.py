"""Trees to send, and what was announced."""

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
    """A tree in the dashboard's shape: ALL of one rule that is ANY of these conditions."""
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "rules": [], "conditions": [*conditions]}]}]


@pytest.fixture
def path(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/segments/"


@pytest.fixture
def announced(project: Project) -> Callable[[], list[int]]:
    """How often each of the project's environments was announced since the last call, silently or not."""
    seen = dict(Environment.objects.values_list("pk", "revision"))

    def since() -> list[int]:
        now = dict(project.environments.values_list("pk", "revision"))
        rises = [now[pk] - seen[pk] for pk in sorted(now)]
        seen.update(now)
        return rises

    return since


@pytest.fixture
def queries() -> Callable[[Callable[[], object]], int]:
    """How many queries a call makes."""

    def count(call: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            call()
        return len(captured)

    return count
