"""The first pages after the sign-in: the user's projects, and the way into one of them."""

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.pages import Page
from dashboard.places import ProjectPage
from permissions import access


class HomePage(Page):
    """The projects that the user sees, by organisation."""

    template = "dashboard/home.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        organisations = list(access.visible_organisations(self.user).order_by("name"))
        projects = access.visible_projects(self.user).annotate(
            number_of_environments=Count("environments", distinct=True),
            number_of_features=Count("features", distinct=True),
        )
        of_organisation: dict[int, list] = {}
        for project in projects.order_by("name"):
            of_organisation.setdefault(project.organisation_id, []).append(project)
        shown = [(each, of_organisation.get(each.pk, [])) for each in organisations]
        return self.show(organisations=shown)


class ProjectHome(ProjectPage):
    """A project's own address: its features in the environment that was shown last."""

    template = "dashboard/empty_project.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if self.environment is None:
            return self.show()
        return self.go(reverse("dashboard:features", args=[self.project.pk, self.environment.api_key]))
