"""Subqueries that are written once are as if they were written for each request."""

from typing import Any

import pytest
from django.db.models import QuerySet

from core.subqueries import Written
from environments.models import Environment
from organisations.models import Organisation
from projects.models import Project

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def projects_of(organisation: Any, name: str | None) -> QuerySet[Any, Any]:
    projects = Project.objects.filter(organisation=organisation)
    return (projects.filter(name__contains=name) if name else projects).values("pk")


def environments_of(organisation: Any, name: str) -> QuerySet[Any, Any]:
    """A written one inside of a written one."""
    mine = Environment.objects.filter(project__in=Written(projects_of, organisation, None))
    return mine.filter(name=name, project__organisation=organisation).values("pk")


@pytest.fixture
def organisations(db: None) -> list[Organisation]:
    made = [Organisation.objects.create(name=name) for name in ("One", "Two")]
    for organisation in made:
        for project in ("50 % off", "Web"):
            in_project = Project.objects.create(name=project, organisation=organisation)
            for environment in ("Development", "Production"):
                Environment.objects.create(name=environment, project=in_project)
    return made


@pytest.mark.parametrize("name", [None, "%", "Web", "' OR 1=1 --"])
def test_written__each_value_and_constant__what_the_query_itself_finds(
    name: str | None, organisations: list[Organisation]
) -> None:
    for organisation in (*organisations, *organisations):
        written = Project.objects.filter(pk__in=Written(projects_of, organisation.pk, name))
        itself = Project.objects.filter(pk__in=projects_of(organisation.pk, name))
        assert set(written) == set(itself)
        assert set(Project.objects.exclude(pk__in=written)) == set(Project.objects.exclude(pk__in=itself))


def test_written__of_a_model_in_an_order__in_none(organisations: list[Organisation]) -> None:
    assert Project._meta.ordering
    found = Project.objects.filter(pk__in=Written(projects_of, organisations[0].pk, None)).order_by()
    assert "ORDER BY" not in str(found.query)


def test_written__that_makes_nothing_of_its_value__refused(organisations: list[Organisation]) -> None:
    with pytest.raises(ValueError, match="all_projects makes nothing of its value"):
        list(Project.objects.filter(pk__in=Written(all_projects, organisations[0].pk)))


def all_projects(organisation: Any) -> QuerySet[Any, Any]:
    return Project.objects.values("pk")


def test_written__of_nobody__nothing(organisations: list[Organisation]) -> None:
    assert not Project.objects.filter(pk__in=Written(projects_of, None, None)).exists()


def test_written__inside_of_another__goes_by_the_same_value(organisations: list[Organisation]) -> None:
    one, two = organisations
    found = Environment.objects.filter(pk__in=Written(environments_of, one.pk, "Production"))
    assert {environment.project.organisation_id for environment in found} == {one.pk}
    assert len(found) == 2
    assert not found.filter(project__in=Written(projects_of, two.pk, None)).exists()
