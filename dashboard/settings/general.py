"""The page Project settings > General: settings that apply to all environments, and deletion of the project."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.edits import Edit, Field, describe_field, encoded_digests
from dashboard.scoped_pages import ProjectPage

TEXTS = ("name", "feature_name_regex")
NUMBERS = ("minimum_change_request_approvals", "stale_flags_limit_days")
SWITCHES = ("hide_disabled_flags", "prevent_flag_defaults", "only_allow_lower_case_feature_names")

LABELS = {
    "name": "The name",
    "feature_name_regex": "The expression that names of features match",
    "minimum_change_request_approvals": "The number of approvals",
    "stale_flags_limit_days": "The number of days until a feature is stale",
    "hide_disabled_flags": "“Hide disabled flags”",
    "prevent_flag_defaults": "“New features begin off”",
    "only_allow_lower_case_feature_names": "“Lower case alone”",
}


class GeneralPage(ProjectPage):
    template = "dashboard/settings/general.html"
    tab = "settings"
    section = "general"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(typed=self.stored, digests=encoded_digests(self.stored))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed: dict[str, Any] = {name: request.POST.get(name, "") for name in TEXTS}
        typed |= {name: request.POST.get(name, "").strip() or None for name in NUMBERS}
        typed |= {name: name in request.POST for name in SWITCHES}
        with self.locked_project():
            self.project.refresh_from_db(fields=typed)
            edit = Edit(request.POST, stored=self.stored, typed=typed)
            response = self.save(f"projects/{self.project.pk}/", edit, self._describe)
        if not response.ok:
            content = {"typed": edit.merged, "digests": encoded_digests(self.stored)}
            return self.render(response.status, **content, errors=response.errors, message=response.non_field_error)
        return self.redirect(reverse("dashboard:project-settings", args=[self.project.pk]), "The settings are saved.")

    @property
    def stored(self) -> dict[str, Any]:
        """The stored fields in the form's types: "" for an empty text, None for an empty number."""
        texts = {name: getattr(self.project, name) or "" for name in TEXTS}
        numbers = {name: getattr(self.project, name) for name in NUMBERS}
        switches = {name: getattr(self.project, name) for name in SWITCHES}
        return {**texts, **{name: None if each is None else str(each) for name, each in numbers.items()}, **switches}

    def _describe(self, name: str) -> Field:
        return describe_field(LABELS[name], self.stored[name])


class DeletePage(ProjectPage):
    """Delete the project. The user confirms by typing its name."""

    template = "dashboard/settings/delete_project.html"
    tab = "settings"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render()

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if request.POST.get("name", "").strip() != self.project.name.strip():
            wrong = ["That is not the name of the project."]
            return self.render(status=400, errors={"name": wrong}, typed=request.POST.get("name", ""))
        name = self.project.name
        response = self.call("DELETE", f"projects/{self.project.pk}/")
        if not response.ok:
            return self.render(status=response.status, message=response.message)
        return self.redirect(reverse("dashboard:home"), f"{name} is deleted.")
