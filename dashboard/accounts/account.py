"""The account page: change the password, turn the second factor on and off."""

import segno
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.pages import Page


class AccountPage(Page):
    template = "dashboard/accounts/account.html"
    allowed_without_second_factor = True
    # Its forms have passwords and codes only.
    keeps_input = False

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.render(has_second_factor=self.has_second_factor)

    @property
    def has_second_factor(self) -> bool:
        return bool(self.call("GET", "auth/mfa/user-active-methods/").data)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Change the password. The user's other sessions end, this one stays."""
        names = ("current_password", "new_password", "re_new_password")
        response = self.call("POST", "auth/users/set_password/", {name: request.POST.get(name, "") for name in names})
        if not response.ok:
            return self.render(
                status=response.status,
                has_second_factor=self.has_second_factor,
                errors=response.errors,
                message=response.non_field_error,
            )
        update_session_auth_hash(request, self.user)
        return self.redirect(
            reverse("dashboard:account"), "Your password is changed. Your other sessions are signed out."
        )


class SecondFactorPage(AccountPage):
    """The steps to set up an authenticator app: introduction, secret, code, backup codes."""

    template = "dashboard/accounts/second_factor.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        if "code" not in request.POST:
            return self.start_enrolment()
        code = "".join(request.POST["code"].split())
        response = self.call("POST", "auth/app/activate/confirm/", {"code": code})
        if not response.ok:
            return self.start_enrolment(status=response.status, wrong=response.errors.get("code") or [response.message])
        return self.render(backup_codes=response.data["backup_codes"])

    def start_enrolment(self, status: int = 200, wrong: list[str] | None = None) -> HttpResponse:
        response = self.call("POST", "auth/app/activate/")
        if not response.ok:
            return self.redirect(reverse("dashboard:account"), error=response.message)
        # Black on white in dark mode too: some apps cannot read an inverted code.
        qr_code = segno.make(response.data["qr_link"], error="m").svg_data_uri(scale=5, border=4, light="#fff")
        secret = response.data["secret"]
        groups = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
        return self.render(status=status, qr_code=qr_code, secret=groups, wrong=wrong)


class EndSecondFactor(AccountPage):
    """Turn the second factor off. GET shows a confirmation page."""

    template = "dashboard/accounts/end_second_factor.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        response = self.call("POST", "auth/app/deactivate/")
        return self.redirect_after(response, reverse("dashboard:account"), "The second factor is off.")
