"""Reset of a forgotten password by a link in a mail."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.accounts.sign_in import AuthenticationPage


class PasswordResetPage(AuthenticationPage):
    """Form that requests the link. The response does not reveal whether the address has an account."""

    template = "dashboard/accounts/password_reset.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.render(email=request.GET.get("email", ""))

    def post(self, request: HttpRequest) -> HttpResponse:
        email = request.POST.get("email", "")
        response = self.call("POST", "auth/users/reset_password/", {"email": email})
        if not response.ok:
            return self.render_errors(response, email=email)
        return self.render(email=email, is_sent=True)


class NewPasswordPage(AuthenticationPage):
    """Target of the link in the mail."""

    template = "dashboard/accounts/new_password.html"

    def get(self, request: HttpRequest, uid: str, token: str) -> HttpResponse:
        return self.render()

    def post(self, request: HttpRequest, uid: str, token: str) -> HttpResponse:
        typed = {name: request.POST.get(name, "") for name in ("new_password", "re_new_password")}
        response = self.call("POST", "auth/users/reset_password_confirm/", {"uid": uid, "token": token, **typed})
        if not response.ok:
            return self.render_errors(response)
        return self.redirect(reverse("dashboard:sign-in"), "Your password is changed. Sign in with the new one.")
