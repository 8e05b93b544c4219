"""Invitations to an organisation, by mail and by link."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from dashboard.api import APIResponse
from dashboard.organisations.pages import OrganisationSettingsPage
from dashboard.times import utc_time
from organisations.models import OrganisationRole

MAX_LINKS = 100


class InvitationsPage(OrganisationSettingsPage):
    template = "dashboard/organisations/invitations.html"
    section = "invitations"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_invitations(200)

    def render_invitations(self, status: int, **content: Any) -> HttpResponse:
        links = list(self.organisation.invite_links.order_by("-pk")[:MAX_LINKS])
        for link in links:
            link.url = f"{settings.PUBLIC_URL}/invite-link/{link.hash}"  # type: ignore[attr-defined]
        invites = self.slice(self.organisation.invites.select_related("invited_by").order_by("email"))
        content = {"roles": OrganisationRole.choices, **content}
        return self.render(status, invites=invites, links=links, groups=self.groups, **content)

    @property
    def groups(self) -> list[Any]:
        return list(self.organisation.permission_groups.order_by("name"))

    def done(self, response: APIResponse, message: str) -> HttpResponse:
        return self.redirect_after(response, self.url("organisation-invitations"), message)


class InviteByMail(InvitationsPage):
    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = {"email": request.POST.get("email", ""), "role": request.POST.get("role", "")}
        groups = request.POST.getlist("permission_groups")
        response = self.call("POST", f"{self.api_path}invites/", {**typed, "permission_groups": groups})
        if not response.ok:
            content = {"typed": typed, "errors": response.errors, "message": response.non_field_error}
            return self.render_invitations(response.status, **content)
        return self.done(response, f"{typed['email']} is invited.")


class ResendInvitation(InvitationsPage):
    def post(self, request: HttpRequest, invite_pk: int, **kwargs: str) -> HttpResponse:
        return self.done(self.call("POST", f"{self.api_path}invites/{invite_pk}/resend/"), "The mail is sent again.")


class WithdrawInvitation(InvitationsPage):
    def post(self, request: HttpRequest, invite_pk: int, **kwargs: str) -> HttpResponse:
        return self.done(self.call("DELETE", f"{self.api_path}invites/{invite_pk}/"), "The invitation is withdrawn.")


class NewLink(InvitationsPage):
    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = {"role": request.POST.get("role", ""), "expires_at": request.POST.get("expires_at", "")}
        body = {**typed, "expires_at": utc_time(typed["expires_at"])}
        response = self.call("POST", f"{self.api_path}invite-links/", body)
        if not response.ok:
            content = {"typed_link": typed, "link_errors": response.errors, "link_message": response.non_field_error}
            return self.render_invitations(response.status, **content)
        return self.done(response, "The link is there.")


class DeleteLink(InvitationsPage):
    def post(self, request: HttpRequest, link_pk: int, **kwargs: str) -> HttpResponse:
        return self.done(self.call("DELETE", f"{self.api_path}invite-links/{link_pk}/"), "The link is deleted.")
