"""Groups of an organisation's users."""

from functools import cached_property
from typing import Any

from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.edits import Edit, Field, describe_field, encoded_digests
from dashboard.organisations.pages import OrganisationSettingsPage
from organisations.access import has_organisation_permission, manageable_groups
from organisations.models import UserOrganisation
from users.models import UserPermissionGroup

LABELS = {"name": "The name", "is_default": "“All new members”", "external_id": "The external id"}


class GroupsPage(OrganisationSettingsPage):
    """The groups that the user may manage: all with MANAGE_USER_GROUPS, otherwise those as a group admin."""

    template = "dashboard/organisations/groups.html"
    section = "groups"
    admins_only = False

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_groups(200)

    def render_groups(self, status: int, **content: Any) -> HttpResponse:
        may_create = has_organisation_permission(self.user, self.organisation, "MANAGE_USER_GROUPS")
        groups = self.slice(self.found.annotate(number=Count("memberships", distinct=True)).order_by("name"))
        return self.render(status, groups=groups, may_create=may_create, **content)

    @property
    def found(self) -> QuerySet[UserPermissionGroup]:
        return manageable_groups(self.user, self.organisation)


class NewGroup(GroupsPage):
    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name = request.POST.get("name", "")
        response = self.call("POST", f"{self.api_path}groups/", {"name": name})
        if not response.ok:
            errors = response.errors.get("name") or [response.message]
            return self.render_groups(response.status, typed=name, wrong=errors)
        return self.redirect(self.url("organisation-group", response.data["id"]), f"{name} is there.")


class GroupPage(GroupsPage):
    template = "dashboard/organisations/group.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_group(200)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        external_id = request.POST.get("external_id", "").strip()
        typed = {"name": request.POST.get("name", ""), "is_default": "is_default" in request.POST}
        edit = Edit(request.POST, stored=self.stored, typed={**typed, "external_id": external_id})
        body = {**edit.typed, "external_id": external_id or None}
        response = self.save(self.group_path, edit, self._describe, body=body)
        if not response.ok:
            content = {"typed": edit.merged, "errors": response.errors, "message": response.non_field_error}
            return self.render_group(response.status, **content)
        return self.redirect(self.group_url, "The group is saved.")

    def render_group(self, status: int, **content: Any) -> HttpResponse:
        members = self.group.memberships.select_related("ffadminuser").order_by("ffadminuser__email")
        if self.search:
            members = members.filter(ffadminuser__email__icontains=self.search)
        shown = {"typed": self.stored, "digests": encoded_digests(self.stored), "search": self.search}
        return self.render(status, **{**shown, "members": self.slice(members), **content})

    @cached_property
    def group(self) -> UserPermissionGroup:
        group = self.found.filter(pk=self.kwargs["group_pk"]).first()
        if group is None:
            raise Http404
        return group

    @property
    def group_path(self) -> str:
        return f"{self.api_path}groups/{self.group.pk}/"

    @property
    def group_url(self) -> str:
        return self.url("organisation-group", self.group.pk)

    @property
    def stored(self) -> dict[str, Any]:
        group = self.group
        return {"name": group.name, "is_default": group.is_default, "external_id": group.external_id or ""}

    def context(self) -> dict[str, Any]:
        return {**super().context(), "group": self.group}

    def _describe(self, name: str) -> Field:
        return describe_field(LABELS[name], self.stored[name])


class AddToGroup(GroupPage):
    """Add a member of the organisation by their address."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        email = request.POST.get("email", "").strip()
        found = UserOrganisation.objects.filter(organisation=self.organisation.pk, user__email__iexact=email)
        member = None if "\0" in email else found.first()
        if member is None:
            wrong = ["No member of the organisation has this address."]
            return self.render_group(400, typed_email=email, email_errors=wrong)
        response = self.call("POST", f"{self.group_path}add-users/", {"user_ids": [member.user_id]})
        return self.redirect_after(response, self.group_url, f"{email} is in the group.")


class RemoveFromGroup(GroupPage):
    def post(self, request: HttpRequest, user_pk: int, **kwargs: str) -> HttpResponse:
        response = self.call("POST", f"{self.group_path}remove-users/", {"user_ids": [user_pk]})
        return self.redirect_after(response, self.group_url, "The member is no longer in the group.")


class GroupAdmin(GroupPage):
    """Make a member of the group its admin, or take that back. Only admins of the organisation may."""

    def post(self, request: HttpRequest, user_pk: int, **kwargs: str) -> HttpResponse:
        action = "make-admin" if request.POST.get("admin") == "true" else "remove-admin"
        response = self.call("POST", f"{self.group_path}users/{user_pk}/{action}")
        return self.redirect_after(response, self.group_url, "The group is saved.")


class DeleteGroup(GroupPage):
    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        effect = "Its members keep the permissions that they have by themselves or by other groups."
        return self.confirm(f"Delete the group {self.group.name}?", effect, "Delete the group", self.group_url)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name = self.group.name
        response = self.call("DELETE", self.group_path)
        return self.redirect_after(response, self.url("organisation-groups"), f"{name} is deleted.")
