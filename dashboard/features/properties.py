"""What a feature is in all environments: its description, its tags, who owns it. And how to be rid of it."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from dashboard.features.editors import refusal
from dashboard.features.one import OneFeaturePage
from features import services


class FeatureSettingsView(OneFeaturePage):
    """The tab "Settings"."""

    template = "dashboard/features/feature_settings.html"
    section = "settings"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        own = {each.pk for each in self.feature.tags.all()}
        typed = {
            "description": self.feature.description or "",
            "is_server_key_only": self.feature.is_server_key_only,
            "tags": [str(pk) for pk in own],
        }
        return self.page(typed)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = {
            "description": request.POST.get("description", "").replace("\r\n", "\n"),
            "is_server_key_only": request.POST.get("is_server_key_only") == "on",
            "tags": request.POST.getlist("tags"),
        }
        answer = self.call("PATCH", self.api_path, typed)
        if answer.ok:
            return self.go(self.url("feature-settings"), "Saved.")
        return self.page(typed, answer.status, errors=answer.errors, refused=refusal(answer))

    def page(self, typed: dict[str, Any], status: int = 200, **more: Any) -> HttpResponse:
        tags = [
            {"pk": tag.pk, "label": tag.label, "chosen": str(tag.pk) in typed["tags"]}
            for tag in self.project.tags.order_by("label")
        ]
        owners = list(self.feature.owners.order_by("email"))
        own = {each.pk for each in owners}
        others = [each for each in services.possible_owners(self.project).order_by("email") if each.pk not in own]
        return self.show(status, typed=typed, tags=tags, owners=owners, others=others, **more)


class FeatureOwnersView(OneFeaturePage):
    """Add an owner, or remove one."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        step = "remove-owners" if request.POST.get("action") == "remove" else "add-owners"
        answer = self.call("POST", f"{self.api_path}{step}/", {"user_ids": [request.POST.get("user", "")]})
        told = "The owners are changed." if answer.ok else ""
        return self.go(self.url("feature-settings"), told, refused=refusal(answer))
