"""Project settings > General: its name, and what holds for all of its environments."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.places import ProjectPage

TEXTS = ("name", "feature_name_regex")
NUMBERS = ("minimum_change_request_approvals", "stale_flags_limit_days")
SWITCHES = ("hide_disabled_flags", "prevent_flag_defaults", "only_allow_lower_case_feature_names")


class GeneralPage(ProjectPage):
    template = "dashboard/settings/general.html"
    tab = "settings"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.show(typed={name: getattr(self.project, name) for name in (*TEXTS, *NUMBERS, *SWITCHES)})

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed: dict[str, Any] = {name: request.POST.get(name, "") for name in TEXTS}
        typed |= {name: request.POST.get(name, "").strip() or None for name in NUMBERS}
        typed |= {name: name in request.POST for name in SWITCHES}
        answer = self.call("PATCH", f"projects/{self.project.pk}/", typed)
        if not answer.ok:
            return self.show(status=answer.status, typed=typed, errors=answer.errors, message=answer.general)
        return self.go(reverse("dashboard:project-settings", args=[self.project.pk]), "The settings are saved.")


class DeletePage(ProjectPage):
    """Delete the project, after a question that its name answers."""

    template = "dashboard/settings/delete_project.html"
    tab = "settings"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.show()

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if request.POST.get("name", "").strip() != self.project.name.strip():
            wrong = ["That is not the name of the project."]
            return self.show(status=400, errors={"name": wrong}, typed=request.POST.get("name", ""))
        name = self.project.name
        answer = self.call("DELETE", f"projects/{self.project.pk}/")
        if not answer.ok:
            return self.show(status=answer.status, message=answer.message)
        return self.go(reverse("dashboard:home"), f"{name} is deleted.")
