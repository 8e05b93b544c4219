"""Sign-in and sign-out pages. They call the API's log-in, so its limits and its second factor apply."""

import re
from http import HTTPStatus
from math import ceil
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from dashboard.accounts import sessions
from dashboard.api import APIResponse
from dashboard.pages import Page

# Session key and field of the API's response: the token that is valid between the password and the code.
EPHEMERAL = "ephemeral_token"

# Paths of invitations (registration.py): by mail, and by a link that can be shared.
INVITATION = re.compile(r"/(?P<kind>invite|invite-link)/(?P<secret>[0-9A-Za-z_-]{1,100})/?")


class AuthenticationPage(Page):
    """Base class of pages for visitors who are not signed in. ``next`` is the path to redirect to after the sign-in."""

    public = True
    keeps_input = False

    @property
    def next(self) -> str:
        path = self.request.POST.get("next") or self.request.GET.get("next", "")
        is_local = url_has_allowed_host_and_scheme(path, allowed_hosts=None) and path.startswith("/")
        return path if is_local else reverse("dashboard:home")

    def link(self, name: str) -> str:
        """URL of another authentication page, with the same ``next``."""
        query = QueryDict(mutable=True)
        if self.next != reverse("dashboard:home"):
            query["next"] = self.next
        return reverse(f"dashboard:{name}") + (f"?{query.urlencode('/')}" if query else "")

    @property
    def sign_in(self) -> str:
        return self.link("sign-in")

    @property
    def sign_up(self) -> str:
        return self.link("sign-up")

    @property
    def may_register(self) -> bool:
        """Whether a visitor with this ``next`` may register: always, or only with an invitation."""
        return settings.ALLOW_REGISTRATION_WITHOUT_INVITE or INVITATION.fullmatch(self.next) is not None

    def render_errors(self, api_response: APIResponse, **content: Any) -> HttpResponse:
        """Render the form again with the API's errors."""
        message = api_response.non_field_error
        if api_response.status == HTTPStatus.TOO_MANY_REQUESTS and api_response.retry_after:
            minutes = ceil(int(api_response.retry_after) / 60)
            message = f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
        response = self.render(status=api_response.status, errors=api_response.errors, message=message, **content)
        if api_response.retry_after:
            response.headers["Retry-After"] = api_response.retry_after
        return response


class SignInPage(AuthenticationPage):
    template = "dashboard/accounts/sign_in.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return self.redirect(self.next)
        return self.render()

    def post(self, request: HttpRequest) -> HttpResponse:
        credentials = {name: request.POST.get(name, "") for name in ("email", "password")}
        response = self.call("POST", "auth/login/", credentials)
        if not response.ok:
            return self.render_errors(response, email=credentials["email"])
        if EPHEMERAL in response.data:
            request.session[EPHEMERAL] = response.data[EPHEMERAL]
            return self.redirect(self.link("sign-in-code"))
        sessions.begin(request, response.data["key"])
        return self.redirect(self.next)


class CodePage(AuthenticationPage):
    """Form for the second factor, after the password was accepted."""

    template = "dashboard/accounts/code.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        if EPHEMERAL not in request.session:
            return self.redirect(self.sign_in)
        return self.render()

    def post(self, request: HttpRequest) -> HttpResponse:
        if EPHEMERAL not in request.session:
            return self.redirect(self.sign_in)
        code = "".join(request.POST.get("code", "").split())
        response = self.call("POST", "auth/login/code/", {EPHEMERAL: request.session[EPHEMERAL], "code": code})
        if not response.ok:
            return self.render_errors(response)
        del request.session[EPHEMERAL]
        sessions.begin(request, response.data["key"])
        return self.redirect(self.next)


class SignOut(Page):
    """End this session. The user's API token stays valid: scripts use it independently of this browser."""

    public = True

    def post(self, request: HttpRequest) -> HttpResponse:
        logout(request)
        return self.redirect(reverse("dashboard:sign-in"), "You are signed out.")
