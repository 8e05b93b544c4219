"""New organisations, projects and environments: a name, mostly, and the API's call."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.api import Answer
from dashboard.pages import Page
from dashboard.places import ProjectPage
from organisations.access import visible_organisations


class Creation(Page):
    """A form that makes one thing."""

    path = ""
    """Of the API's call."""

    def typed(self) -> dict[str, Any]:
        """What the call is given."""
        return {"name": self.request.POST.get("name", "")}

    def made(self, answer: Answer) -> HttpResponse:
        """Where to go from here."""
        raise NotImplementedError

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.show(typed={})

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = self.typed()
        answer = self.call("POST", self.path, typed)
        if not answer.ok:
            return self.show(status=answer.status, typed=typed, errors=answer.errors, message=answer.general)
        return self.made(answer)


class NewOrganisationPage(Creation):
    template = "dashboard/new_organisation.html"
    path = "organisations/"

    def made(self, answer: Answer) -> HttpResponse:
        url = f"{reverse('dashboard:new-project')}?organisation={answer.data['id']}"
        return self.go(url, f"{answer.data['name']} is there. Now its first project.")


class NewProjectPage(Creation):
    template = "dashboard/new_project.html"
    path = "projects/"

    def context(self) -> dict[str, Any]:
        organisations = list(visible_organisations(self.user).order_by("name"))
        wanted = self.request.POST.get("organisation") or self.request.GET.get("organisation", "")
        return {**super().context(), "organisations": organisations, "wanted": wanted}

    def typed(self) -> dict[str, Any]:
        return {
            **super().typed(),
            "organisation": self.request.POST.get("organisation", ""),
            "enable_realtime_updates": "enable_realtime_updates" in self.request.POST,
        }

    def made(self, answer: Answer) -> HttpResponse:
        url = reverse("dashboard:new-environment", args=[answer.data["id"]])
        return self.go(url, f"{answer.data['name']} is there. Now its first environment.")


class NewEnvironmentPage(Creation, ProjectPage):
    template = "dashboard/new_environment.html"
    path = "environments/"

    def typed(self) -> dict[str, Any]:
        description = self.request.POST.get("description", "")
        return {**super().typed(), "description": description, "project": self.project.pk}

    def made(self, answer: Answer) -> HttpResponse:
        url = reverse("dashboard:features", args=[self.project.pk, answer.data["api_key"]])
        return self.go(url, f"{answer.data['name']} is there.")
