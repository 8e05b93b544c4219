"""Accounts for strangers, where the installation wants that, and for those who are invited."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from dashboard.accounts import sessions
from dashboard.accounts.sign_in import INVITATION, Door
from dashboard.pages import Page

FIELDS = ("first_name", "last_name", "email", "password")

SIGN_UP_TYPES = {"invite": "INVITE_EMAIL", "invite-link": "INVITE_LINK"}


class SignUpPage(Door):
    """A new account. Who comes from an invitation goes on to it."""

    template = "dashboard/accounts/sign_up.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return self.go(self.next)
        return self.show(status=200 if self.is_open else 403)

    def post(self, request: HttpRequest) -> HttpResponse:
        typed = {name: request.POST.get(name, "") for name in FIELDS}
        invitation = INVITATION.fullmatch(self.next)
        invited = {"invite_hash": invitation["secret"]} if invitation else {}
        kind = SIGN_UP_TYPES[invitation["kind"]] if invitation else "NO_INVITE"
        answer = self.call("POST", "auth/users/", {**typed, **invited, "sign_up_type": kind})
        if not answer.ok:
            return self.refuse(answer, typed=typed)
        sessions.begin(request, answer.data["key"])
        return self.go(self.next)


class JoinPage(Page):
    """An invitation to an organisation: where the link in the mail leads."""

    public = True
    template = "dashboard/accounts/join.html"

    def answer(self, request: HttpRequest, kind: str, secret: str) -> HttpResponseBase:
        if request.user.is_authenticated and request.user.must_set_up_second_factor:
            return self.go(reverse("dashboard:second-factor"))
        return super().answer(request, kind=kind, secret=secret)

    def get(self, request: HttpRequest, kind: str, secret: str) -> HttpResponse:
        return self.show(path=request.path)

    def post(self, request: HttpRequest, kind: str, secret: str) -> HttpResponse:
        if not request.user.is_authenticated:
            return self.go(request.path)
        answer = self.call("POST", f"users/join/{'link/' if kind == 'invite-link' else ''}{secret}/")
        if not answer.ok:
            return self.show(status=answer.status, path=request.path, message=answer.message)
        return self.go(reverse("dashboard:home"), f"You belong to {answer.data['name']} now.")
