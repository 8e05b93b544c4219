"""Signing in and out of the pages. Who may is said by the API's own log-in: its limits and its second factor."""

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
from dashboard.api import Answer
from dashboard.pages import Page

# In the session, between the password and the code.
EPHEMERAL = "ephemeral_token"

# Where invitations lead (registration.py): one path for those by mail, and one for links.
INVITATION = re.compile(r"/(?P<kind>invite|invite-link)/(?P<secret>[0-9A-Za-z_-]{1,100})/?")


class Door(Page):
    """A page in front of the sign-in. ``next`` is the page that was asked for, and is led to at the end."""

    public = True

    @property
    def next(self) -> str:
        wanted = self.request.POST.get("next") or self.request.GET.get("next", "")
        ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith("/")
        return wanted if ours else reverse("dashboard:home")

    def link(self, name: str) -> str:
        """The path of another page like this one, with the same ``next``."""
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
    def is_open(self) -> bool:
        """Whether accounts are made here for whoever comes from ``next``."""
        return settings.ALLOW_REGISTRATION_WITHOUT_INVITE or INVITATION.fullmatch(self.next) is not None

    def refuse(self, answer: Answer, **content: Any) -> HttpResponse:
        """Show the form again, with what the API has against it."""
        message = answer.general
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS and answer.retry_after:
            minutes = ceil(int(answer.retry_after) / 60)
            message = f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
        response = self.show(status=answer.status, errors=answer.errors, message=message, **content)
        if answer.retry_after:
            response.headers["Retry-After"] = answer.retry_after
        return response


class SignInPage(Door):
    template = "dashboard/accounts/sign_in.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return self.go(self.next)
        return self.show()

    def post(self, request: HttpRequest) -> HttpResponse:
        credentials = {name: request.POST.get(name, "") for name in ("email", "password")}
        answer = self.call("POST", "auth/login/", credentials)
        if not answer.ok:
            return self.refuse(answer, email=credentials["email"])
        if EPHEMERAL in answer.data:
            request.session[EPHEMERAL] = answer.data[EPHEMERAL]
            return self.go(self.link("sign-in-code"))
        sessions.begin(request, answer.data["key"])
        return self.go(self.next)


class CodePage(Door):
    """The second factor of somebody whose password was right."""

    template = "dashboard/accounts/code.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        if EPHEMERAL not in request.session:
            return self.go(self.sign_in)
        return self.show()

    def post(self, request: HttpRequest) -> HttpResponse:
        if EPHEMERAL not in request.session:
            return self.go(self.sign_in)
        code = "".join(request.POST.get("code", "").split())
        answer = self.call("POST", "auth/login/code/", {EPHEMERAL: request.session[EPHEMERAL], "code": code})
        if not answer.ok:
            return self.refuse(answer)
        del request.session[EPHEMERAL]
        sessions.begin(request, answer.data["key"])
        return self.go(self.next)


class SignOut(Page):
    """End this session. The user's token stays: a script that uses it has nothing to do with this browser."""

    public = True

    def post(self, request: HttpRequest) -> HttpResponse:
        logout(request)
        return self.go(reverse("dashboard:sign-in"), "You are signed out.")
