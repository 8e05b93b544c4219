"""What every page is: signed in by a cookie, safe from forged requests, and HTML whatever happens."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, cast
from urllib.parse import urlencode

import structlog
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages import error, success
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import decorator_from_middleware, method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from core.errors import Failure
from dashboard import api
from dashboard.edits import Edit
from users.models import FFAdminUser

logger = structlog.get_logger(__name__)

# All that a page loads comes from here, and no script or style stands in it.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

FAILURES = {
    400: ("This cannot be read", "It is not what our pages send, or it has more fields than are read."),
    403: ("You may not do this", "Your account does not have the permission that this needs."),
    404: ("There is no such page", "It does not exist, or not for your account."),
    413: ("This is too much", "A form may hold about a megabyte. Nothing has been changed."),
    500: ("Something failed on our side", "It has been logged. Try again in a moment."),
    503: ("The database cannot answer at the moment", "Nothing has been changed. Try again in a moment."),
}

with_session = decorator_from_middleware(SessionMiddleware)
with_user = decorator_from_middleware(AuthenticationMiddleware)
with_messages = decorator_from_middleware(MessageMiddleware)

Answering = Callable[..., HttpResponseBase]


def readable(view: Answering) -> Answering:
    """Answer what cannot be read with a page. Django would refuse it in JSON, or each view fail at it."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            _ = request.GET, request.POST
        except RequestDataTooBig:
            return secured(failure(request, 413))
        except (BadRequest, SuspiciousOperation, MultiPartParserError):
            return secured(failure(request, 400))
        return view(request, *args, **kwargs)

    return answer


def outlived(view: Answering) -> Answering:
    """Where the session ends while its request is answered, by a sign-out elsewhere: to the sign-in."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except SessionInterrupted:
            return sign_in_first(request)

    return answer


# Not in MIDDLEWARE: calls of the API read no cookie, and each of these would cost them a thread's turn.
@method_decorator(
    [never_cache, outlived, with_session, with_user, with_messages, readable, csrf_protect], name="dispatch"
)
class Page(View):
    """A page for whoever is signed in.

    GET shows it. POST changes something by the Admin API (``call``), then leads to a page that shows it (``go``).
    Without JavaScript the browser does that; with it htmx puts the new page in the place of the old one.
    """

    public = False
    """Whether it is for those who are not signed in, too."""

    open_to_debtors = False
    """Whether it is for those, too, who owe an organisation a second factor: what the API leaves to them."""

    template = ""

    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if not self.public and not request.user.is_authenticated:
                return sign_in_first(request)
            if not self.public and self.user.must_set_up_second_factor and not self.open_to_debtors:
                return self.go(reverse("dashboard:second-factor"))
            response = self.answer(request, *args, **kwargs)
        except Http404:
            response = failure(request, 404)
        except PermissionDenied as refusal:
            response = failure(request, 403, str(refusal))
        except Exception as problem:
            logger.error("page_failed", method=request.method, path=request.path, exc_info=problem)
            ours = Failure.of(problem)
            response = failure(request, ours.status)
            for name, value in ours.headers.items():
                response.headers[name] = value
        return secured(response)

    def answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return super().dispatch(request, *args, **kwargs)

    @property
    def user(self) -> FFAdminUser:
        return cast(FFAdminUser, self.request.user)

    def context(self) -> dict[str, Any]:
        """What every template of this kind of page is given."""
        return {"page": self}

    def show(self, status: int = 200, **content: Any) -> HttpResponse:
        return render(self.request, self.template, {**self.context(), **content}, status=status)

    def call(self, method: str, path: str, body: Any = None, *, query: dict[str, Any] | None = None) -> api.Answer:
        """Call the Admin API for the user. What does not exist for them is this page's 404."""
        answer = api.call(self.request, method, path, body, query=query)
        if answer.status == 404:
            raise Http404
        return answer

    def save(
        self, path: str, edit: Edit, describe: Callable[[str], str], *, body: Mapping[str, Any] | None = None
    ) -> api.Answer:
        """Change by the Admin API what an edit changes, unless somebody else has changed the same object since the form
        was shown.

        ``describe``: see ``Edit.refusal``. ``body``: the fields as the API takes them, if not as they were typed.
        Callers hold the object's lock.
        """
        if refusal := edit.refusal(describe):
            return api.Answer(409, {"detail": refusal})
        body = edit.typed if body is None else body
        return self.call("PATCH", path, {name: body[name] for name in edit.changed})

    def back(self, default: str) -> str:
        """Where the form says that it was sent from: a path of ours, otherwise the default."""
        wanted = self.request.POST.get("back", "")
        return wanted if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) else default

    def go(self, url: str, told: str = "", *, refused: str = "", whole: bool = False) -> HttpResponse:
        """Lead on to a page that shows the success, or the refusal. ``whole``: the browser loads it as another page,
        also where the form that was sent keeps the address."""
        if told:
            success(self.request, told)
        if refused:
            error(self.request, refused)
        if whole and HtmxDetails(self.request):
            return HttpResponseClientRedirect(url)
        response = HttpResponseRedirect(url)
        response.status_code = 303
        return response


class NotFoundPage(Page):
    """Any path that nothing else answers."""

    public = True

    def answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        raise Http404


def sign_in_first(request: HttpRequest) -> HttpResponse:
    """To the sign-in, and from there back to the page: the one that is shown, where a part of it was asked for."""
    htmx = HtmxDetails(request)
    shown = htmx.current_url_abs_path if htmx else None
    wanted = shown or (request.get_full_path() if request.method == "GET" else "/")
    url = f"{reverse('dashboard:sign-in')}?{urlencode({'next': wanted})}"
    if htmx:
        return HttpResponseClientRedirect(url)
    return HttpResponseRedirect(url)


def secured(response: HttpResponseBase) -> HttpResponseBase:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def failure(request: HttpRequest, status: int, reason: str = "") -> HttpResponse:
    """A page that says what is wrong. Of a failure of ours it asks the database nothing."""
    title, text = FAILURES[status]
    content = {"title": title, "text": reason or text, "status": status, "is_ours": status >= 500}
    return render(request, "dashboard/failure.html", content, status=status)


@with_session
@with_user
@with_messages
def forged(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Django's CSRF_FAILURE_VIEW."""
    text = "The form was not sent from a page of ours, or that page is too old. Open it again, and try once more."
    return secured(failure(request, 403, text))
