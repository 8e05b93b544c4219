"""The home page (the user's projects), and the redirect from a project to its features."""

from typing import Any

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.pages import Page
from dashboard.scoped_pages import ProjectPage
from environments.models import Environment
from features.models import Feature
from organisations.access import administered_organisations, may_create_project, visible_organisations
from organisations.models import Organisation
from projects.access import visible_projects
from projects.models import Project


class HomePage(Page):
    """The projects visible to the user, by organisation."""

    template = "dashboard/home.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        organisations = list(visible_organisations(self.user).order_by("name"))
        projects_by_organisation: dict[int, list[Project]] = {each.pk: [] for each in organisations}
        for project in self.projects().order_by("name"):
            projects_by_organisation.setdefault(project.organisation_id, []).append(project)
        may_create = self.may_create(organisations)
        rows = [(each, projects_by_organisation[each.pk], each.pk in may_create) for each in organisations]
        return self.render(organisations=rows)

    def projects(self) -> QuerySet[Project]:
        """With the numbers of environments and features. Two joins would multiply the counts, so each is a subquery."""
        return visible_projects(self.user).annotate(
            number_of_environments=_count(Environment), number_of_features=_count(Feature)
        )

    def may_create(self, organisations: list[Organisation]) -> set[int]:
        administered = set(administered_organisations(self.user).values_list("pk", flat=True))
        others = (each for each in organisations if each.pk not in administered)
        return administered | {each.pk for each in others if may_create_project(self.user, each)}


class ProjectHome(ProjectPage):
    """A project's URL: redirects to its features in the environment that was shown last."""

    template = "dashboard/empty_project.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if self.environment is None:
            return self.render()
        return self.redirect(reverse("dashboard:features", args=[self.project.pk, self.environment.api_key]))


def _count(model: Any) -> Coalesce:
    """The number of a project's rows of this model."""
    rows = model.objects.filter(project=OuterRef("pk")).order_by()
    number = rows.values("project").annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(number, output_field=IntegerField()), 0)
