"""Permissions of users and groups in an organisation, a project or an environment: the list, and the form of one."""

from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Page as Slice
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from dashboard.api import APIResponse
from dashboard.edits import Edit, describe_field, encoded_digests
from dashboard.organisations.members import found_members
from dashboard.organisations.pages import OrganisationSettingsPage
from dashboard.pages import Page
from dashboard.scoped_pages import EnvironmentPage, ProjectPage
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from organisations.permissions import catalogue
from users.models import UserPermissionGroup

PAGE_SIZE = 50
MAX_GROUPS = 200

LABELS = {"permissions": "The list of permissions", "admin": "“Admin”"}


class PermissionsMixin(Page):
    """The list of a scope: its organisation's members and groups, each with the permissions in the scope."""

    section = "permissions"
    kind = ""
    """"organisation", "project" or "environment"."""

    catalogue: dict[str, str]
    has_admin = True
    """Whether the scope has admins of its own. An organisation has roles instead."""

    @property
    def scope(self) -> Any:
        """The organisation, project or environment."""
        raise NotImplementedError

    @property
    def permissions_organisation(self) -> Organisation:
        raise NotImplementedError

    @property
    def scope_path(self) -> str:
        """The API's path of the scope."""
        raise NotImplementedError

    @property
    def may_manage(self) -> bool:
        raise NotImplementedError

    @property
    def arguments(self) -> list[Any]:
        """The arguments of the scope's URLs."""
        raise NotImplementedError

    def locked(self) -> AbstractContextManager[None]:
        """The lock under which a form is compared and saved."""
        return nullcontext()

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if isinstance(self, ProjectPage):
            self.load()
        if not self.may_manage:
            raise PermissionDenied(f"Permissions are for admins of the {self.kind}.")
        return super().handle(request, *args, **kwargs)

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.render(members=self._members(), groups=self._groups(), search=self.search)

    def list_url(self) -> str:
        return reverse(f"dashboard:{self.kind}-permissions", args=self.arguments)

    def form_url(self, holder: str, pk: int) -> str:
        return reverse(f"dashboard:{self.kind}-{holder}-permissions", args=[*self.arguments, pk])

    def _members(self) -> "Slice[Any]":
        found = found_members(self.permissions_organisation, self.search)
        page = Paginator(found, PAGE_SIZE).get_page(self.request.GET.get("page"))
        page.object_list = list(page.object_list)
        rows = self._rows("user", [member.user_id for member in page.object_list])
        for member in page.object_list:
            member.granted = _granted(rows.get(member.user_id))  # type: ignore[attr-defined]
            member.url = self.form_url("user", member.user_id)  # type: ignore[attr-defined]
            member.is_admin = member.role == OrganisationRole.ADMIN  # type: ignore[attr-defined]
        return page

    def _groups(self) -> list[UserPermissionGroup]:
        found = self.permissions_organisation.permission_groups.filter(name__icontains=self.search)
        groups = list(found.order_by("name")[:MAX_GROUPS])
        rows = self._rows("group", [group.pk for group in groups])
        for group in groups:
            group.granted = _granted(rows.get(group.pk))  # type: ignore[attr-defined]
            group.url = self.form_url("group", group.pk)  # type: ignore[attr-defined]
        return groups

    def _rows(self, holder: str, pks: list[int]) -> dict[int, Any]:
        """The rows of these users or groups in the scope, by their primary keys."""
        rows = self.rows(holder).filter(**{f"{holder}__in": pks}).prefetch_related("permissions")
        return {getattr(row, f"{holder}_id"): row for row in rows}

    def rows(self, holder: str) -> Any:
        return self.scope.userpermission.all() if holder == "user" else self.scope.grouppermission.all()


class HolderMixin(PermissionsMixin):
    """The form of the permissions of one user or group."""

    template = "dashboard/permissions/form.html"
    holder = ""
    """"user" or "group"."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.render_form(200, typed=self.stored, digests=encoded_digests(self.stored))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        keys = sorted(key for key in request.POST.getlist("permissions") if key in self.catalogue)
        typed = {"permissions": keys, "admin": self.has_admin and "admin" in request.POST}
        with self.locked():
            edit = Edit(request.POST, stored=self.stored, typed=typed)
            conflict = edit.conflict_message(lambda name: describe_field(LABELS[name], self.stored[name]))
            response = APIResponse(409, {"detail": conflict}) if conflict else self._change(edit.merged)
        if not response.ok:
            content = {"typed": edit.merged, "digests": encoded_digests(self.stored), "message": response.message}
            return self.render_form(response.status, **content)
        return self.redirect(self.list_url(), f"The permissions of {self.holder_name} are saved.")

    def _change(self, typed: dict[str, Any]) -> APIResponse:
        path = f"{self.scope_path}{self.holder}-permissions/".replace("group-", "user-group-")
        body = {**typed, self.holder: self.holder_pk}
        if not self.has_admin:
            del body["admin"]
        if self.row is None:
            return self.call("POST", path, body)
        if not typed["permissions"] and not typed["admin"]:
            return self.call("DELETE", f"{path}{self.row.pk}/")
        return self.call("PUT", f"{path}{self.row.pk}/", body)

    def render_form(self, status: int, **content: Any) -> HttpResponse:
        return self.render(status, available=self.catalogue.items(), name=self.holder_name, **content)

    @property
    def holder_pk(self) -> int:
        return int(self.kwargs[f"{self.holder}_pk"])

    @cached_property
    def holder_name(self) -> str:
        """The user's address or the group's name. 404 if it does not belong to the organisation."""
        organisation = self.permissions_organisation
        found: Any
        if self.holder == "user":
            members = UserOrganisation.objects.filter(organisation=organisation.pk, user=self.holder_pk)
            found = members.values_list("user__email", flat=True).first()
        else:
            groups = organisation.permission_groups.filter(pk=self.holder_pk)
            found = groups.values_list("name", flat=True).first()
        if found is None:
            raise Http404
        return str(found)

    @cached_property
    def row(self) -> Any:
        """The row of the user or group, read once: in a POST under the lock."""
        return self._rows(self.holder, [self.holder_pk]).get(self.holder_pk)

    @property
    def stored(self) -> dict[str, Any]:
        row = self.row
        keys = [] if row is None else sorted(each.key for each in row.permissions.all())
        return {"permissions": keys, "admin": bool(getattr(row, "admin", False))}


class OrganisationPermissions(PermissionsMixin, OrganisationSettingsPage):
    template = "dashboard/permissions/organisation.html"
    kind = "organisation"
    catalogue = catalogue.ORGANISATION
    has_admin = False

    @property
    def scope(self) -> Any:
        return self.organisation

    @property
    def permissions_organisation(self) -> Organisation:
        return self.organisation

    @property
    def scope_path(self) -> str:
        return self.api_path

    @property
    def may_manage(self) -> bool:
        return self.is_organisation_admin

    @property
    def arguments(self) -> list[Any]:
        return [self.organisation.pk]


class ProjectPermissions(PermissionsMixin, ProjectPage):
    template = "dashboard/permissions/project.html"
    tab = "settings"
    kind = "project"
    catalogue = catalogue.PROJECT

    @property
    def scope(self) -> Any:
        return self.project

    @property
    def permissions_organisation(self) -> Organisation:
        return self.project.organisation

    @property
    def scope_path(self) -> str:
        return f"projects/{self.project.pk}/"

    @property
    def may_manage(self) -> bool:
        return self.is_project_admin

    @property
    def arguments(self) -> list[Any]:
        return [self.project.pk]

    def locked(self) -> AbstractContextManager[None]:
        return self.locked_project()


class EnvironmentPermissions(PermissionsMixin, EnvironmentPage):
    template = "dashboard/permissions/environment.html"
    tab = "settings"
    kind = "environment"
    catalogue = catalogue.ENVIRONMENT

    @property
    def scope(self) -> Any:
        return self.environment

    @property
    def permissions_organisation(self) -> Organisation:
        return self.project.organisation

    @property
    def scope_path(self) -> str:
        return f"environments/{self.environment.api_key}/"

    @property
    def may_manage(self) -> bool:
        return self.is_environment_admin

    @property
    def arguments(self) -> list[Any]:
        return [self.project.pk, self.environment.api_key]

    def locked(self) -> AbstractContextManager[None]:
        return self.locked_project()


class OrganisationUserPermissions(HolderMixin, OrganisationPermissions):
    holder = "user"


class OrganisationGroupPermissions(HolderMixin, OrganisationPermissions):
    holder = "group"


class ProjectUserPermissions(HolderMixin, ProjectPermissions):
    holder = "user"


class ProjectGroupPermissions(HolderMixin, ProjectPermissions):
    holder = "group"


class EnvironmentUserPermissions(HolderMixin, EnvironmentPermissions):
    holder = "user"


class EnvironmentGroupPermissions(HolderMixin, EnvironmentPermissions):
    holder = "group"


def _granted(row: Any) -> dict[str, Any]:
    """The permissions of a row in the template's format."""
    if row is None:
        return {"admin": False, "keys": []}
    return {"admin": getattr(row, "admin", False), "keys": sorted(each.key for each in row.permissions.all())}
