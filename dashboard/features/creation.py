"""A new feature."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.places import EnvironmentPage


class CreatePage(EnvironmentPage):
    """Name, first state and value: the same in all environments, to begin with."""

    template = "dashboard/features/create.html"
    tab = "features"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.show(may_create=self.may_in_project("CREATE_FEATURE"), tags=self.tags([]))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = request.POST
        chosen = typed.getlist("tags")
        body = {
            "name": typed.get("name", "").strip(),
            "description": typed.get("description", ""),
            "initial_value": typed.get("initial_value", ""),
            "default_enabled": typed.get("default_enabled") == "on",
            "tags": chosen,
        }
        if self.project.enforce_feature_owners:
            body["owners"] = [self.user.pk]
        answer = self.call("POST", f"projects/{self.project.pk}/features/", body)
        if answer.ok:
            url = reverse("dashboard:feature", args=[self.project.pk, self.environment.api_key, answer.data["id"]])
            return self.go(url, f"{answer.data['name']} is there, in all environments.")
        return self.show(
            answer.status,
            typed=body,
            errors=answer.errors,
            general=answer.errors.get(""),
            may_create=self.may_in_project("CREATE_FEATURE"),
            tags=self.tags(chosen),
        )

    def tags(self, chosen: list[str]) -> list[dict[str, Any]]:
        tags = self.project.tags.order_by("label")
        return [{"pk": tag.pk, "label": tag.label, "chosen": str(tag.pk) in chosen} for tag in tags]
