"""The members of an organisation: roles, and removal."""

from functools import cached_property

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.organisations.pages import OrganisationSettingsPage
from organisations.models import Organisation, OrganisationRole, UserOrganisation


def found_members(organisation: Organisation, search: str) -> QuerySet[UserOrganisation]:
    """The members with this text in their address or name, or all, by address."""
    members = UserOrganisation.objects.filter(organisation=organisation.pk).select_related("user")
    if search:
        condition = Q()
        for column in ("email", "first_name", "last_name"):
            condition |= Q(**{f"user__{column}__icontains": search})
        members = members.filter(condition)
    return members.order_by("user__email")


class MembersPage(OrganisationSettingsPage):
    template = "dashboard/organisations/members.html"
    section = "members"
    admins_only = False

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(members=self.slice(found_members(self.organisation, self.search)), search=self.search)


class MemberPage(MembersPage):
    """An action on one member."""

    admins_only = True

    @cached_property
    def membership(self) -> UserOrganisation:
        members = UserOrganisation.objects.filter(organisation=self.organisation.pk).select_related("user")
        found = members.filter(user=self.kwargs["user_pk"]).first()
        if found is None:
            raise Http404
        return found


class ChangeRole(MemberPage):
    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        role = request.POST.get("role", "")
        path = f"{self.api_path}users/{self.membership.user_id}/update-role/"
        response = self.call("POST", path, {"role": role})
        name = "an admin" if role == OrganisationRole.ADMIN else "a user"
        message = f"{self.membership.user.email} is {name} now."
        return self.redirect_after(response, self.back(self.url("organisation-members")), message)


class RemoveMember(MemberPage):
    """Remove a member. GET shows a confirmation page."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        question = f"Remove {self.membership.user.email} from {self.organisation.name}?"
        effect = "The account stays, without its permissions in projects of the organisation."
        return self.confirm(question, effect, "Remove the member", self.url("organisation-members"))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        member = self.membership.user
        response = self.call("POST", f"{self.api_path}remove-users/", [{"id": member.pk}])
        if not response.ok:
            return self.redirect(self.url("organisation-members"), error=response.message)
        message = f"{member.email} is removed."
        is_own = member.pk == self.user.pk
        return self.redirect(reverse("dashboard:home") if is_own else self.url("organisation-members"), message)
