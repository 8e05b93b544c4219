"""The form that creates a feature."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.scoped_pages import EnvironmentPage


class CreatePage(EnvironmentPage):
    """Creates a feature with the same initial state and value in all environments."""

    template = "dashboard/features/create.html"
    tab = "features"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(may_create=self.has_project_permission("CREATE_FEATURE"), tags=self.tags([]))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = request.POST
        tag_pks = typed.getlist("tags")
        body = {
            "name": typed.get("name", "").strip(),
            "description": typed.get("description", ""),
            "initial_value": typed.get("initial_value", ""),
            "default_enabled": typed.get("default_enabled") == "on",
            "tags": tag_pks,
        }
        if self.project.enforce_feature_owners:
            body["owners"] = [self.user.pk]
        response = self.call("POST", f"projects/{self.project.pk}/features/", body)
        if response.ok:
            url = reverse("dashboard:feature", args=[self.project.pk, self.environment.api_key, response.data["id"]])
            return self.redirect(url, f"{response.data['name']} is there, in all environments.")
        return self.render(
            response.status,
            typed=body,
            errors=response.errors,
            non_field_errors=response.errors.get(""),
            may_create=self.has_project_permission("CREATE_FEATURE"),
            tags=self.tags(tag_pks),
        )

    def tags(self, chosen_pks: list[str]) -> list[dict[str, Any]]:
        tags = self.project.tags.order_by("label")
        return [{"pk": tag.pk, "label": tag.label, "chosen": str(tag.pk) in chosen_pks} for tag in tags]
