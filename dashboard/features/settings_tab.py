"""The tab "Settings" of a feature: description, tags and owners, which are the same in all environments."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from dashboard.edits import Edit, Field, describe_field, encoded_digests, named, unix_lines
from dashboard.features.editors import error_text
from dashboard.features.tab import FeatureTab
from features import services


class SettingsTab(FeatureTab):
    template = "dashboard/features/feature_settings.html"
    section = "settings"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_form(self.stored)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = {
            "description": unix_lines(request.POST.get("description", "")),
            "is_server_key_only": request.POST.get("is_server_key_only") == "on",
            "tags": sorted(request.POST.getlist("tags")),
        }
        with self.locked_project():
            edit = Edit(request.POST, stored=self.stored, typed=typed)
            response = self.save(self.api_path, edit, self._describe)
        if response.ok:
            return self.redirect(self.url("feature-settings"), "Saved.")
        return self.render_form(edit.merged, response.status, errors=response.errors, error=error_text(response))

    @property
    def stored(self) -> dict[str, Any]:
        return {
            "description": unix_lines(self.feature.description or ""),
            "is_server_key_only": self.feature.is_server_key_only,
            "tags": sorted(str(each.pk) for each in self.feature.tags.all()),
        }

    def _describe(self, name: str) -> Field:
        match name:
            case "tags":
                labels = {str(each.pk): each.label for each in self.project.tags.all()}
                return describe_field("The list of tags", self.stored[name], lambda pks: named(pks, labels))
            case "description":
                return describe_field("The description", self.stored[name])
        return describe_field("“Server-side only”", self.stored[name])

    def render_form(self, typed: dict[str, Any], status: int = 200, **more: Any) -> HttpResponse:
        tags = [
            {"pk": tag.pk, "label": tag.label, "chosen": str(tag.pk) in typed["tags"]}
            for tag in self.project.tags.order_by("label")
        ]
        owners = list(self.feature.owners.order_by("email"))
        owner_pks = {each.pk for each in owners}
        others = [each for each in services.possible_owners(self.project).order_by("email") if each.pk not in owner_pks]
        digests = encoded_digests(self.stored)
        return self.render(status, typed=typed, digests=digests, tags=tags, owners=owners, others=others, **more)


class ChangeOwners(FeatureTab):
    """Add an owner, or remove one."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        action = "remove-owners" if request.POST.get("action") == "remove" else "add-owners"
        response = self.call("POST", f"{self.api_path}{action}/", {"user_ids": [request.POST.get("user", "")]})
        message = "The owners are changed." if response.ok else ""
        return self.redirect(self.url("feature-settings"), message, error=error_text(response))
