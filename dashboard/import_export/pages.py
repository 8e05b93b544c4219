"""The page Project settings > Export and import: features as a file, from one environment to another."""

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.api import APIResponse
from dashboard.scoped_pages import ProjectPage, refresh_approvals
from environments.models import Environment
from features.import_export.models import FeatureExport, FeatureImport, Strategy
from organisations.access import is_organisation_admin

MAX_LISTED = 10
MAX_TAGS = 500
MAX_ERRORS = 20

NEEDS_APPROVAL = (
    "Flags of {} are changed by change requests alone, which cannot hold an import. Skip the features that exist."
)


class ImportExportPage(ProjectPage):
    """The forms of an export and an import, and the latest ones of the environments that the user is an admin of."""

    template = "dashboard/import_export/page.html"
    tab = "settings"
    section = "import-export"

    # An uploaded file cannot be shown in its form again.
    keeps_input = False

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_forms()

    def render_forms(self, status: int = 200, **content: Any) -> HttpResponse:
        administered = self.administered
        keys = [each.pk for each in administered]
        exports = FeatureExport.objects.filter(environment__in=keys).select_related("environment").defer("data")
        imports = FeatureImport.objects.filter(environment__in=keys).select_related("environment")[:MAX_LISTED]
        return self.render(
            status,
            **{
                "administered": administered,
                "tags": self.project.tags.order_by("label")[:MAX_TAGS],
                "exports": exports[:MAX_LISTED],
                "imports": [(each, summary(vars(each))) for each in imports],
                "typed": {"environment": self.environment and self.environment.api_key, "strategy": Strategy.SKIP},
                **content,
            },
        )

    @property
    def path(self) -> str:
        return reverse("dashboard:import-export", args=[self.project.pk])

    @property
    def administered(self) -> list[Environment]:
        return [each for each in self.environments if each.administered]  # type: ignore[attr-defined]

    @property
    def may_import(self) -> bool:
        """Only admins of the organisation may, since an import can overwrite."""
        return is_organisation_admin(self.user, self.project.organisation)

    def chosen_environment(self) -> Environment:
        key = self.request.POST.get("environment", "")
        found = next((each for each in self.environments if each.api_key == key), None)
        if found is None:
            raise Http404
        return found


class Export(ImportExportPage):
    """Store an export. The list has a link to it."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        environment, tags = self.chosen_environment(), request.POST.getlist("tags")
        response = self.call(
            "POST", "features/create-feature-export/", {"environment_id": environment.pk, "tag_ids": tags}
        )
        if not response.ok:
            typed = {"environment": environment.api_key, "tags": tags, "strategy": Strategy.SKIP}
            return self.render_forms(response.status, typed=typed, export_errors=response.message)
        return self.redirect(self.path, f"The export of {environment.name} is in the list.")


class Download(ImportExportPage):
    """The file of an export."""

    def get(self, request: HttpRequest, export_pk: int, **kwargs: str) -> HttpResponse:
        stored = FeatureExport.objects.filter(pk=export_pk, environment__project=self.project.pk)
        if not stored.exists():
            raise Http404
        response = self.call("GET", f"features/download-feature-export/{export_pk}/")
        if not response.ok:
            raise PermissionDenied(response.message)
        headers = {"Content-Disposition": f'attachment; filename="feature_export.{export_pk}.json"'}
        return HttpResponse(json.dumps(response.data), "application/json", headers=headers)


class Import(ImportExportPage):
    """Import a file in two steps: the first shows what it would do, and changes nothing."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        environment, strategy = self.chosen_environment(), request.POST.get("strategy", "")
        is_confirmed = request.POST.get("action") == "import"
        upload = request.FILES.get("file")
        content = upload.read() if upload is not None else request.POST.get("content", "").encode()
        with self.locked_project():
            refresh_approvals(environment)
            response = self._import(environment, strategy, content)
            if not is_confirmed:
                transaction.set_rollback(True)
        if not response.ok:
            typed = {"target": environment.api_key, "strategy": strategy}
            errors = {
                "file": file_errors(response),
                "strategy": response.errors.get("strategy", []),
                "other": response.non_field_error,
            }
            return self.render_forms(response.status, typed=typed, import_errors=errors)
        if not is_confirmed:
            return self._preview(environment, strategy, content, response.data)
        return self.redirect(self.path, f"Imported into {environment.name}: {summary(response.data)}.")

    def _import(self, environment: Environment, strategy: str, content: bytes) -> APIResponse:
        if not content:
            return APIResponse(400, {"file": ["Choose a file."]})
        if environment.minimum_change_request_approvals is not None and strategy != Strategy.SKIP:
            return APIResponse(409, {"strategy": [NEEDS_APPROVAL.format(environment.name)]})
        body = {"strategy": strategy, "file": SimpleUploadedFile("features.json", content, "application/json")}
        return self.call("POST", f"features/feature-import/{environment.pk}", upload=body)

    def _preview(self, environment: Environment, strategy: str, content: bytes, data: dict[str, Any]) -> HttpResponse:
        self.template = "dashboard/import_export/confirm.html"
        # Compact, since browsers send each line end as two bytes.
        compact = json.dumps(json.loads(content), ensure_ascii=False, separators=(",", ":"))
        return self.render(target=environment, strategy=strategy, content=compact, done=data)


def file_errors(response: APIResponse) -> list[str]:
    """The messages about the file, each with its place: ``Feature 3, value: Not a valid string.``"""
    lines = []
    for name, texts in response.errors.items():
        root, *steps = name.split(".")
        if root != "file":
            continue
        place = [f"feature {int(step) + 1}" if index == 0 else step for index, step in enumerate(steps)]
        text = " ".join(texts)
        lines.append(f"{', '.join(place).capitalize()}: {text}" if place else text)
    return lines[:MAX_ERRORS]


def summary(done: Mapping[str, Any]) -> str:
    """The numbers of an import: ``2 created, 0 overwritten, 1 skipped``."""
    parts = [
        f"{done['created_features']} created",
        f"{done['overwritten_features']} overwritten",
        f"{done['skipped_features']} skipped",
    ]
    removed = done["removed_overrides"]
    return ", ".join(parts) + (f", {removed} override{'' if removed == 1 else 's'} removed" if removed else "")
