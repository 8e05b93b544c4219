"""Registration of new accounts, and invitations to organisations."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from dashboard.accounts import sessions
from dashboard.accounts.sign_in import INVITATION, AuthenticationPage
from dashboard.pages import Page

FIELDS = ("first_name", "last_name", "email", "password")

SIGN_UP_TYPES = {"invite": "INVITE_EMAIL", "invite-link": "INVITE_LINK"}


class SignUpPage(AuthenticationPage):
    """Form for a new account. After an invitation it redirects back to that invitation."""

    template = "dashboard/accounts/sign_up.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return self.redirect(self.next)
        return self.render(status=200 if self.may_register else 403)

    def post(self, request: HttpRequest) -> HttpResponse:
        typed = {name: request.POST.get(name, "") for name in FIELDS}
        invitation = INVITATION.fullmatch(self.next)
        invited = {"invite_hash": invitation["secret"]} if invitation else {}
        kind = SIGN_UP_TYPES[invitation["kind"]] if invitation else "NO_INVITE"
        response = self.call("POST", "auth/users/", {**typed, **invited, "sign_up_type": kind})
        if not response.ok:
            return self.render_errors(response, typed=typed)
        sessions.begin(request, response.data["key"])
        return self.redirect(self.next)


class JoinPage(Page):
    """An invitation to an organisation: target of the link in the mail."""

    public = True
    template = "dashboard/accounts/join.html"

    def handle(self, request: HttpRequest, kind: str, secret: str) -> HttpResponseBase:
        if request.user.is_authenticated and request.user.must_set_up_second_factor:
            return self.redirect(reverse("dashboard:second-factor"))
        return super().handle(request, kind=kind, secret=secret)

    def get(self, request: HttpRequest, kind: str, secret: str) -> HttpResponse:
        return self.render(path=request.path)

    def post(self, request: HttpRequest, kind: str, secret: str) -> HttpResponse:
        if not request.user.is_authenticated:
            return self.redirect(request.path)
        response = self.call("POST", f"users/join/{'link/' if kind == 'invite-link' else ''}{secret}/")
        if not response.ok:
            return self.render(status=response.status, path=request.path, message=response.message)
        return self.redirect(reverse("dashboard:home"), f"You belong to {response.data['name']} now.")
