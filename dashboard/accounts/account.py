"""One's own account: the password and the second factor."""

import segno
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.pages import Page


class AccountPage(Page):
    template = "dashboard/accounts/account.html"
    open_to_debtors = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.show(has_second_factor=self.has_second_factor)

    @property
    def has_second_factor(self) -> bool:
        return bool(self.call("GET", "auth/mfa/user-active-methods/").data)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Another password. This session goes on; others of the user end."""
        names = ("current_password", "new_password", "re_new_password")
        answer = self.call("POST", "auth/users/set_password/", {name: request.POST.get(name, "") for name in names})
        if not answer.ok:
            return self.show(
                status=answer.status,
                has_second_factor=self.has_second_factor,
                errors=answer.errors,
                message=answer.general,
            )
        update_session_auth_hash(request, self.user)
        return self.go(reverse("dashboard:account"), "Your password is changed. Your other sessions are signed out.")


class SecondFactorPage(AccountPage):
    """Set up an authenticator app: why, then its secret, then a code of it, then the backup codes."""

    template = "dashboard/accounts/second_factor.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        if "code" not in request.POST:
            return self.enrol()
        code = "".join(request.POST["code"].split())
        answer = self.call("POST", "auth/app/activate/confirm/", {"code": code})
        if not answer.ok:
            return self.enrol(status=answer.status, wrong=answer.errors.get("code") or [answer.message])
        return self.show(backup_codes=answer.data["backup_codes"])

    def enrol(self, status: int = 200, wrong: list[str] | None = None) -> HttpResponse:
        answer = self.call("POST", "auth/app/activate/")
        if not answer.ok:
            return self.go(reverse("dashboard:account"), refused=answer.message)
        # Black on white in the dark, too: not every app reads the opposite.
        picture = segno.make(answer.data["qr_link"], error="m").svg_data_uri(scale=5, border=4, light="#fff")
        secret = answer.data["secret"]
        groups = " ".join(secret[place : place + 4] for place in range(0, len(secret), 4))
        return self.show(status=status, picture=picture, secret=groups, wrong=wrong)


class EndSecondFactor(AccountPage):
    """Turn it off again, after a question."""

    template = "dashboard/accounts/end_second_factor.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        answer = self.call("POST", "auth/app/deactivate/")
        told = "The second factor is off." if answer.ok else ""
        return self.go(reverse("dashboard:account"), told, refused=answer.message)
