"""The page Settings > Environment, and the deletion of the environment."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.edits import Edit, Field, describe_field, encoded_digests, shown, unix_lines
from dashboard.scoped_pages import EnvironmentPage

TEXTS = ("name", "description", "banner_text", "banner_colour")
SWITCHES = ("allow_client_traits", "hide_sensitive_data", "use_identity_overrides_in_local_eval")

HIDE_DISABLED_FLAGS = {"": None, "true": True, "false": False}

LABELS = {
    "name": "The name",
    "description": "The description",
    "banner_text": "The text of the banner",
    "banner_colour": "The colour",
    "minimum_change_request_approvals": "The number of approvals",
    "hide_disabled_flags": "“Hide disabled flags”",
    "allow_client_traits": "“Applications may set traits”",
    "hide_sensitive_data": "“Hide sensitive data”",
    "use_identity_overrides_in_local_eval": "“Identity overrides in local evaluation”",
}


def shown_or_as_in_the_project(value: bool | None) -> str:
    return "as in the project" if value is None else shown(value)


class EnvironmentSettingsPage(EnvironmentPage):
    template = "dashboard/settings/environment.html"
    tab = "settings"
    section = "environment"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(typed=self.stored, digests=encoded_digests(self.stored))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed: dict[str, Any] = {name: unix_lines(request.POST.get(name, "")) for name in TEXTS}
        approvals = request.POST.get("minimum_change_request_approvals", "").strip()
        typed["minimum_change_request_approvals"] = approvals or None
        typed["hide_disabled_flags"] = HIDE_DISABLED_FLAGS.get(request.POST.get("hide_disabled_flags", ""))
        typed |= {name: name in request.POST for name in SWITCHES}
        # The API locks the project for a write of an environment.
        with self.locked_project():
            self.environment.refresh_from_db(fields=typed)
            edit = Edit(request.POST, stored=self.stored, typed=typed)
            response = self.save(f"environments/{self.environment.api_key}/", edit, self._describe)
        if not response.ok:
            content = {"typed": edit.merged, "digests": encoded_digests(self.stored)}
            return self.render(response.status, **content, errors=response.errors, message=response.non_field_error)
        return self.redirect(self.path, "The settings are saved.")

    @property
    def path(self) -> str:
        return reverse("dashboard:environment-settings", args=[self.project.pk, self.environment.api_key])

    @property
    def stored(self) -> dict[str, Any]:
        """The stored fields in the form's types: "" for an empty text, None for an empty number."""
        approvals = self.environment.minimum_change_request_approvals
        return {
            **{name: unix_lines(getattr(self.environment, name) or "") for name in TEXTS},
            "minimum_change_request_approvals": None if approvals is None else str(approvals),
            "hide_disabled_flags": self.environment.hide_disabled_flags,
            **{name: getattr(self.environment, name) for name in SWITCHES},
        }

    def _describe(self, name: str) -> Field:
        show = shown_or_as_in_the_project if name == "hide_disabled_flags" else None
        return describe_field(LABELS[name], self.stored[name], show)


class DeleteEnvironment(EnvironmentSettingsPage):
    """Delete the environment. The user confirms by typing its name."""

    template = "dashboard/settings/delete_environment.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render()

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name, typed = self.environment.name, request.POST.get("name", "")
        if typed.strip() != name.strip():
            return self.render(400, errors={"name": ["That is not the name of the environment."]}, typed=typed)
        response = self.call("DELETE", f"environments/{self.environment.api_key}/")
        if not response.ok:
            return self.render(response.status, message=response.message)
        return self.redirect(reverse("dashboard:project", args=[self.project.pk]), f"{name} is deleted.")
