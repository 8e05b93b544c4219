"""Forms that create organisations, projects and environments."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.api import APIResponse
from dashboard.pages import Page
from dashboard.scoped_pages import ProjectPage
from organisations.access import visible_organisations

ENVIRONMENTS = ("Development", "Production")
"""The environments of a new project."""


class CreateForm(Page):
    """A form that creates one object by a POST to the API."""

    path = ""
    """API path to post to."""

    def typed(self) -> dict[str, Any]:
        """The body of the API call, from the form."""
        return {"name": self.request.POST.get("name", "")}

    def redirect_after_creation(self, response: APIResponse) -> HttpResponse:
        raise NotImplementedError

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(typed={})

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = self.typed()
        response = self.call("POST", self.path, typed)
        if not response.ok:
            return self.render(
                status=response.status, typed=typed, errors=response.errors, message=response.non_field_error
            )
        return self.redirect_after_creation(response)


class NewOrganisationPage(CreateForm):
    template = "dashboard/new_organisation.html"
    path = "organisations/"

    def redirect_after_creation(self, response: APIResponse) -> HttpResponse:
        url = f"{reverse('dashboard:new-project')}?organisation={response.data['id']}"
        return self.redirect(url, f"{response.data['name']} is there. Now its first project.")


class NewProjectPage(CreateForm):
    template = "dashboard/new_project.html"
    path = "projects/"

    def context(self) -> dict[str, Any]:
        organisations = list(visible_organisations(self.user).order_by("name"))
        selected = self.request.POST.get("organisation") or self.request.GET.get("organisation", "")
        return {**super().context(), "organisations": organisations, "selected": selected}

    def typed(self) -> dict[str, Any]:
        return {
            **super().typed(),
            "organisation": self.request.POST.get("organisation", ""),
            "enable_realtime_updates": "enable_realtime_updates" in self.request.POST,
        }

    def redirect_after_creation(self, response: APIResponse) -> HttpResponse:
        """Create the first environments, as Flagsmith's dashboard does."""
        project, message = response.data["id"], f"{response.data['name']} is there."
        created = [self.call("POST", "environments/", {"name": name, "project": project}) for name in ENVIRONMENTS]
        if not all(each.ok for each in created):
            return self.redirect(reverse("dashboard:new-environment", args=[project]), message)
        return self.redirect(reverse("dashboard:first-steps", args=[project, created[0].data["api_key"]]), message)


class NewEnvironmentPage(CreateForm, ProjectPage):
    template = "dashboard/new_environment.html"
    path = "environments/"

    def typed(self) -> dict[str, Any]:
        description = self.request.POST.get("description", "")
        return {**super().typed(), "description": description, "project": self.project.pk}

    def redirect_after_creation(self, response: APIResponse) -> HttpResponse:
        url = reverse("dashboard:features", args=[self.project.pk, response.data["api_key"]])
        return self.redirect(url, f"{response.data['name']} is there.")
