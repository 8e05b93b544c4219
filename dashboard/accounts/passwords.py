"""A new password, for who has forgotten the old one."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.accounts.sign_in import Door


class PasswordResetPage(Door):
    """Ask for a link by mail. The page says the same whoever has the address, or nobody."""

    template = "dashboard/accounts/password_reset.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.show(email=request.GET.get("email", ""))

    def post(self, request: HttpRequest) -> HttpResponse:
        email = request.POST.get("email", "")
        answer = self.call("POST", "auth/users/reset_password/", {"email": email})
        if not answer.ok:
            return self.refuse(answer, email=email)
        return self.show(email=email, is_sent=True)


class NewPasswordPage(Door):
    """Where the link in the mail leads."""

    template = "dashboard/accounts/new_password.html"

    def get(self, request: HttpRequest, uid: str, token: str) -> HttpResponse:
        return self.show()

    def post(self, request: HttpRequest, uid: str, token: str) -> HttpResponse:
        typed = {name: request.POST.get(name, "") for name in ("new_password", "re_new_password")}
        answer = self.call("POST", "auth/users/reset_password_confirm/", {"uid": uid, "token": token, **typed})
        if not answer.ok:
            return self.refuse(answer)
        return self.go(reverse("dashboard:sign-in"), "Your password is changed. Sign in with the new one.")
