"""The usage page of an organisation: figures by day, as plots and as a table."""

import itertools
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from app_analytics.models import APIUsageBucket, Resource
from dashboard.usage import plot
from environments.models import Environment
from organisations.models import Organisation
from projects.models import Project
from tests.scale.growth import Growth, grow

pytestmark = pytest.mark.django_db


@pytest.fixture
def usage(organisation: Organisation) -> str:
    return f"/organisations/{organisation.pk}/usage/"


def count(environment: Environment, resource: Resource, number: int, days_ago: int = 0, **labels: str) -> None:
    day = timezone.now().date() - timedelta(days=days_ago)
    APIUsageBucket.objects.create(
        environment_id=environment.pk, resource=resource, day=day, labels=labels, total_count=number
    )


def figures(page: bytes) -> list[list[int]]:
    """The rows of the table, today first, with the sums as the last row."""
    (table,) = re.findall(r'<table class="figures">.*?</table>', page.decode(), re.DOTALL)
    lines = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)[1:]
    return [
        [int(number.replace(",", "")) for number in re.findall(r'<td class="number">([\d,]+)</td>', line)]
        for line in lines
    ]


def test_usage__requests_and_streams__by_day_and_kind_as_in_the_api(
    browser: Client, admin: APIClient, usage: str, environment: Environment, organisation: Organisation
) -> None:
    other = Environment.objects.create(
        name="There", project=Project.objects.create(name="<i>Shop</i>", organisation=organisation)
    )
    count(environment, Resource.FLAGS, 7)
    count(environment, Resource.FLAGS, 5, user_agent="flagsmith-python-sdk/6.2.1")
    count(environment, Resource.IDENTITIES, 3)
    count(environment, Resource.STREAMS, 40)
    count(environment, Resource.TRAITS, 2, days_ago=6)
    count(other, Resource.ENVIRONMENT_DOCUMENT, 9, days_ago=7)
    count(environment, Resource.FLAGS, 100, days_ago=89)
    count(environment, Resource.FLAGS, 1_000, days_ago=90)

    month = browser.get(usage)
    today, *before, sums = figures(month.content)
    assert (today, len(before)) == ([12, 3, 0, 0, 15, 40], 29)
    assert (before[5], before[6]) == ([0, 0, 2, 0, 2, 0], [0, 0, 0, 9, 9, 0])
    assert sums == [12, 3, 2, 9, 26, 40]
    assert sums[4] == admin.get(f"/api/v1/organisations/{organisation.pk}/usage-data/total-count/").json()["count"]
    shown = month.content.decode()
    assert "&lt;i&gt;Shop&lt;/i&gt;" in shown
    assert "<i>Shop" not in shown
    assert shown.count("<svg") == 2
    assert shown.count("<desc") == 2
    assert re.search(r"<title>[-\d]+: 15 requests</title>", shown)
    assert re.search(r"<title>[-\d]+: 40 streams<", shown)

    assert figures(browser.get(usage, {"days": 7}).content)[-1] == [12, 3, 2, 0, 17, 40]
    assert figures(browser.get(usage, {"days": 90}).content)[-1] == [112, 3, 2, 9, 126, 40]
    assert len(figures(browser.get(usage, {"days": "x"}).content)) == 31
    narrowed = browser.get(usage, {"project": other.project_id})
    assert figures(narrowed.content)[-1] == [0, 0, 0, 9, 9, 0]
    assert b'aria-current="page">Usage</a>' in narrowed.content
    assert b"<svg" not in browser.get(usage, {"project": other.project_id, "days": 7}).content


def test_usage__not_admin_or_of_another_organisation__403_or_404(
    browser: Client, viewer: Client, stranger: Client, usage: str, project: Project
) -> None:
    assert viewer.get(usage).status_code == 403
    assert stranger.get(usage).status_code == 404
    for wanted in ("0", "x", "9" * 30, "9" * 5_000):
        assert browser.get(usage, {"project": wanted}).status_code == 404
    # A project of another organisation is 404, even for a member of both organisations.
    other = Organisation.objects.create(name="Elsewhere")
    foreign_project = Project.objects.create(name="Theirs", organisation=other)
    assert browser.get(usage, {"project": foreign_project.pk}).status_code == 404
    other.userorganisation_set.create(user=project.organisation.users.first(), role="ADMIN")
    assert browser.get(usage, {"project": foreign_project.pk}).status_code == 404


def test_usage__many_figures__dozen_queries(
    browser: Client, usage: str, environment: Environment, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    grow(environment, Growth(features=1, environments=9, segments=0, identities=0, entries=0, others=1))
    for each in Environment.objects.all():
        for days_ago in range(0, 90, 9):
            count(each, Resource.FLAGS, 3, days_ago)
    for query in ("?days=90", f"?days=90&project={environment.project_id}"):
        with django_assert_max_num_queries(12):
            assert browser.get(usage + query).status_code == 200


@pytest.mark.parametrize(
    ("total", "top"), [(0, 1), (1, 1), (3, 4), (6, 10), (10, 10), (11, 20), (41, 50), (50_001, 100_000)]
)
def test_plot__any_numbers__stacked_up_to_a_round_number(total: int, top: int) -> None:
    today = timezone.now().date()
    drawn = plot.stacked([(today, {"a": total - total // 2, "none": 0, "b": total // 2}), (today, {"a": 0})])
    assert (drawn.top, drawn.days) == (top, 2)
    parts = drawn.bars[0].parts
    assert sum(part.height for part in parts) == pytest.approx(100 * total / top, abs=0.01)
    for below, above in itertools.pairwise(parts):
        assert above.y + above.height == pytest.approx(below.y, abs=0.01)
    assert drawn.bars[1].parts == []
