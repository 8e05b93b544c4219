"""The base class of an organisation's settings pages, and its general settings."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Page as Slice
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from dashboard.edits import Edit, describe_field, encoded_digests
from dashboard.scoped_pages import OrganisationPage

PAGE_SIZE = 50

ADMINS_ONLY = "This page is for admins of the organisation."

LABELS = {
    "name": "The name",
    "force_2fa": "“Require a second factor”",
    "restrict_project_create_to_admin": "“Only admins create projects”",
}


class OrganisationSettingsPage(OrganisationPage):
    """A page below ``organisations/{organisation_pk}/settings/``."""

    tab = "organisation"
    section = ""
    """The current entry of the side navigation."""

    admins_only = True

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.admins_only and not self.is_organisation_admin:
            raise PermissionDenied(ADMINS_ONLY)
        return super().handle(request, *args, **kwargs)

    @property
    def api_path(self) -> str:
        return f"organisations/{self.organisation.pk}/"

    def url(self, name: str, *args: Any) -> str:
        return reverse(f"dashboard:{name}", args=[self.organisation.pk, *args])

    def slice(self, rows: "QuerySet[Any]") -> "Slice[Any]":
        return Paginator(rows, PAGE_SIZE).get_page(self.request.GET.get("page"))


class GeneralPage(OrganisationSettingsPage):
    template = "dashboard/organisations/general.html"
    section = "general"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(typed=self.stored, digests=encoded_digests(self.stored))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed: dict[str, Any] = {"name": request.POST.get("name", "")}
        typed |= {name: name in request.POST for name in ("force_2fa", "restrict_project_create_to_admin")}
        edit = Edit(request.POST, stored=self.stored, typed=typed)
        response = self.save(self.api_path, edit, lambda name: describe_field(LABELS[name], self.stored[name]))
        if not response.ok:
            content = {"typed": edit.merged, "digests": encoded_digests(self.stored)}
            return self.render(response.status, **content, errors=response.errors, message=response.non_field_error)
        return self.redirect(self.url("organisation-settings"), "The settings are saved.")

    @property
    def stored(self) -> dict[str, Any]:
        return {name: getattr(self.organisation, name) for name in LABELS}


class DeleteOrganisation(OrganisationSettingsPage):
    """Delete the organisation. The user confirms by typing its name."""

    template = "dashboard/organisations/delete.html"
    section = "general"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render()

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name, typed = self.organisation.name, request.POST.get("name", "")
        if typed.strip() != name.strip():
            return self.render(400, errors={"name": ["That is not the name of the organisation."]}, typed=typed)
        response = self.call("DELETE", self.api_path)
        if not response.ok:
            return self.render(response.status, message=response.message)
        return self.redirect(reverse("dashboard:home"), f"{name} is deleted.")
