"""The members of an organisation: roles, and removal."""

from functools import cached_property

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.organisations.pages import OrganisationSettingsPage
from organisations.models import OrganisationRole, UserOrganisation


class MembersPage(OrganisationSettingsPage):
    template = "dashboard/organisations/members.html"
    section = "members"
    admins_only = False

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(members=self.slice(self._found()), search=self.search)

    def _found(self) -> QuerySet[UserOrganisation]:
        members = UserOrganisation.objects.filter(organisation=self.organisation.pk).select_related("user")
        if self.search:
            columns = ("email", "first_name", "last_name")
            condition = Q()
            for column in columns:
                condition |= Q(**{f"user__{column}__icontains": self.search})
            members = members.filter(condition)
        return members.order_by("user__email")


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
        message = f"{self.membership.user.email} is {name} now." if response.ok else ""
        return self.redirect(self.back(self.url("organisation-members")), message, error=response.message)


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
