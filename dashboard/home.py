"""The first pages after the sign-in: the user's projects, and the way into one of them."""

from typing import Any

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.pages import Page
from dashboard.places import ProjectPage
from environments.models import Environment
from features.models import Feature
from organisations.access import administered_organisations, may_create_project, visible_organisations
from organisations.models import Organisation
from projects.access import visible_projects
from projects.models import Project


class HomePage(Page):
    """The projects that the user sees, by organisation."""

    template = "dashboard/home.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        organisations = list(visible_organisations(self.user).order_by("name"))
        of_organisation: dict[int, list[Project]] = {each.pk: [] for each in organisations}
        for project in self.projects().order_by("name"):
            of_organisation.setdefault(project.organisation_id, []).append(project)
        may_create = self.may_create(organisations)
        shown = [(each, of_organisation[each.pk], each.pk in may_create) for each in organisations]
        return self.show(organisations=shown)

    def projects(self) -> QuerySet[Project]:
        """With the numbers of what is in them, each by a query of its own: together they would multiply."""
        return visible_projects(self.user).annotate(
            number_of_environments=_number_of(Environment), number_of_features=_number_of(Feature)
        )

    def may_create(self, organisations: list[Organisation]) -> set[int]:
        administered = set(administered_organisations(self.user).values_list("pk", flat=True))
        others = (each for each in organisations if each.pk not in administered)
        return administered | {each.pk for each in others if may_create_project(self.user, each)}


class ProjectHome(ProjectPage):
    """A project's own address: its features in the environment that was shown last."""

    template = "dashboard/empty_project.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if self.environment is None:
            return self.show()
        return self.go(reverse("dashboard:features", args=[self.project.pk, self.environment.api_key]))


def _number_of(model: Any) -> Coalesce:
    """Of a project's rows of this model."""
    rows = model.objects.filter(project=OuterRef("pk")).order_by()
    number = rows.values("project").annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(number, output_field=IntegerField()), 0)
