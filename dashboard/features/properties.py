"""What a feature is in all environments: its description, its tags, who owns it. And how to be rid of it."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from dashboard.edits import Edit, described, token, unix_lines
from dashboard.features.editors import refusal
from dashboard.features.one import OneFeaturePage
from features import services


class FeatureSettingsView(OneFeaturePage):
    """The tab "Settings"."""

    template = "dashboard/features/feature_settings.html"
    section = "settings"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page(self.stored)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = {
            "description": unix_lines(request.POST.get("description", "")),
            "is_server_key_only": request.POST.get("is_server_key_only") == "on",
            "tags": sorted(request.POST.getlist("tags")),
        }
        with self.locked_project():
            edit = Edit(request.POST, stored=self.stored, typed=typed)
            answer = self.save(self.api_path, edit, self._describe)
        if answer.ok:
            return self.go(self.url("feature-settings"), "Saved.")
        return self.page(edit.merged, answer.status, errors=answer.errors, refused=refusal(answer))

    @property
    def stored(self) -> dict[str, Any]:
        return {
            "description": unix_lines(self.feature.description or ""),
            "is_server_key_only": self.feature.is_server_key_only,
            "tags": sorted(str(each.pk) for each in self.feature.tags.all()),
        }

    def _describe(self, name: str) -> str:
        match name:
            case "tags":
                return described("The list of tags", [each.label for each in self.feature.tags.all()])
            case "description":
                return described("The description", self.stored[name])
        return described("“Server-side only”", self.stored[name])

    def page(self, typed: dict[str, Any], status: int = 200, **more: Any) -> HttpResponse:
        tags = [
            {"pk": tag.pk, "label": tag.label, "chosen": str(tag.pk) in typed["tags"]}
            for tag in self.project.tags.order_by("label")
        ]
        owners = list(self.feature.owners.order_by("email"))
        own = {each.pk for each in owners}
        others = [each for each in services.possible_owners(self.project).order_by("email") if each.pk not in own]
        shown = token(self.stored)
        return self.show(status, typed=typed, shown=shown, tags=tags, owners=owners, others=others, **more)


class FeatureOwnersView(OneFeaturePage):
    """Add an owner, or remove one."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        step = "remove-owners" if request.POST.get("action") == "remove" else "add-owners"
        answer = self.call("POST", f"{self.api_path}{step}/", {"user_ids": [request.POST.get("user", "")]})
        told = "The owners are changed." if answer.ok else ""
        return self.go(self.url("feature-settings"), told, refused=refusal(answer))
