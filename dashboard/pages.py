"""The base class of all pages: session, signed-in user, CSRF protection, and errors rendered as HTML."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, cast
from urllib.parse import urlencode

import structlog
from django.contrib import messages
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import resolve, reverse
from django.utils.decorators import decorator_from_middleware, method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from core.errors import Failure
from dashboard import api, kept_forms
from dashboard.edits import CHOICE, DIGESTS, EDIT, Conflict, Describe, Edit, encoded_digests
from users.models import FFAdminUser

logger = structlog.get_logger(__name__)

# Pages load resources from this server only, and have no inline scripts or styles.
CONTENT_SECURITY_POLICY = "; ".join(
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

ERROR_TEXTS = {
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

ViewFunction = Callable[..., HttpResponseBase]


def reject_malformed_requests(view: ViewFunction) -> ViewFunction:
    """Decorator: render an error page for a malformed query or form. Django would send JSON."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            _ = request.GET, request.POST
        except RequestDataTooBig:
            return with_security_headers(error_page(request, 413))
        except (BadRequest, SuspiciousOperation, MultiPartParserError):
            return with_security_headers(error_page(request, 400))
        return view(request, *args, **kwargs)

    return wrapper


def redirect_if_session_ended(view: ViewFunction) -> ViewFunction:
    """Decorator: redirect to the sign-in if the session is deleted (a sign-out elsewhere) during the request."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except SessionInterrupted:
            return redirect_to_sign_in(request)

    return wrapper


# Decorators instead of MIDDLEWARE: API calls use no cookies, and each synchronous middleware costs a thread switch.
@method_decorator(
    [
        never_cache,
        redirect_if_session_ended,
        with_session,
        with_user,
        with_messages,
        reject_malformed_requests,
        csrf_protect,
    ],
    name="dispatch",
)
class Page(View):
    """A page for signed-in users.

    GET renders it. POST changes something through the Admin API (``call``) and redirects to a page that shows the
    result (``redirect``). Without JavaScript the browser loads that page; with it htmx replaces the body.
    """

    public = False
    """Whether visitors who are not signed in may use it."""

    allowed_without_second_factor = False
    """Whether users whose organisation requires a second factor may use it before they have one."""

    keeps_input = True
    """Whether a form that is sent after the session has ended is kept through the sign-in."""

    is_restoring = False
    """The request shows a kept form again: nothing is written."""

    template = ""

    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if not self.public and not request.user.is_authenticated:
                is_kept = request.method == "POST" and self.keeps_input and kept_forms.keep(request)
                return redirect_to_sign_in(request, next_page=request.get_full_path() if is_kept else None)
            if not self.public and self.user.must_set_up_second_factor and not self.allowed_without_second_factor:
                return self.redirect(reverse("dashboard:second-factor"))
            kept = kept_forms.take(request) if request.method == "GET" and request.user.is_authenticated else None
            if kept is not None:
                self.is_restoring = True
                request.method, request.POST = "POST", kept  # type: ignore[assignment]
            response = self.handle(request, *args, **kwargs)
            if self.keeps_input and request.user.is_authenticated:
                kept_forms.name_owner(request, response)
        except Http404:
            response = error_page(request, 404)
        except PermissionDenied as denied:
            response = error_page(request, 403, str(denied))
        except Exception as error:
            logger.error("page_failed", method=request.method, path=request.path, exc_info=error)
            failure = Failure.of(error)
            response = error_page(request, failure.status)
            for name, value in failure.headers.items():
                response.headers[name] = value
        return with_security_headers(response)

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except Conflict as conflict:
            return self._render_conflict(conflict)

    def _render_conflict(self, conflict: Conflict) -> HttpResponse:
        """The comparison of a form with the values that another user has saved. Its form posts the same fields to the
        same address again."""
        self.template = "dashboard/conflict.html"
        form = self.request.POST
        names = [name for name in form if name not in (DIGESTS, EDIT, "csrfmiddlewaretoken")]
        return self.render(
            409,
            conflict=conflict,
            submitted=[(name, value) for name in names if not name.startswith(CHOICE) for value in form.getlist(name)],
            digests_name=DIGESTS,
            digests=encoded_digests(conflict.edit.stored),
            edit_name=EDIT,
            opened_from=self._opened_from,
        )

    @property
    def _opened_from(self) -> str:
        """The address of the page with the submitted form, if it is on this server, otherwise the request's."""
        url = HtmxDetails(self.request).current_url or self.request.headers.get("Referer", "")
        is_own = url_has_allowed_host_and_scheme(url, allowed_hosts={self.request.get_host()})
        return url if is_own else self.request.path

    @property
    def user(self) -> FFAdminUser:
        return cast(FFAdminUser, self.request.user)

    def context(self) -> dict[str, Any]:
        """The template context that all pages of this class share."""
        return {"page": self}

    def render(self, status: int = 200, **content: Any) -> HttpResponse:
        return render(self.request, self.template, {**self.context(), **content}, status=status)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        upload: dict[str, Any] | None = None,
    ) -> api.APIResponse:
        """Call the Admin API as the user (see ``api.call``). Raises Http404 for a 404 of the API."""
        if self.is_restoring and method != "GET":
            return api.APIResponse(409, {"detail": kept_forms.RESTORED})
        response = api.call(self.request, method, path, body, query=query, upload=upload)
        if response.status == 404:
            raise Http404
        return response

    def save(
        self, path: str, edit: Edit, describe: Describe, *, body: Mapping[str, Any] | None = None
    ) -> api.APIResponse:
        """PATCH the fields that ``edit`` changes. Raises ``Conflict`` if the object has changed since the form was
        rendered.

        ``describe``: see ``Edit.conflict_message``. ``body``: the fields in the API's format, if it differs from
        ``edit.typed``. The caller holds the object's lock.
        """
        if reason := edit.conflict_message(describe):
            return api.APIResponse(409, {"detail": reason})
        body = edit.typed if body is None else body
        return self.call("PATCH", path, {name: body[name] for name in edit.changed})

    @property
    def search(self) -> str:
        """The text that the user searches for. PostgreSQL rejects NUL in text."""
        return self.request.GET.get("search", "").replace("\0", "").strip()

    def confirm(self, question: str, effect: str, action: str, back: str, *, allowed: bool = True) -> HttpResponse:
        """The page that asks before an action, for browsers without JavaScript too."""
        self.template = "dashboard/confirm.html"
        return self.render(question=question, effect=effect, action=action, back=back, allowed=allowed)

    def back(self, default: str) -> str:
        """The path in the form field ``back`` if it is on this server, otherwise ``default``."""
        path = self.request.POST.get("back", "")
        return path if url_has_allowed_host_and_scheme(path, allowed_hosts=None) else default

    def redirect_after(self, response: api.APIResponse, url: str, message: str) -> HttpResponse:
        """Redirect to a page that shows the message, or the API's error."""
        return self.redirect(url, message if response.ok else "", error=response.message)

    def redirect(self, url: str, message: str = "", *, error: str = "", full_load: bool = False) -> HttpResponse:
        """Redirect to a page that shows the message or the error. ``full_load``: the browser loads the page as a new
        one, even if the form was sent by htmx without changing the address."""
        if message:
            messages.success(self.request, message)
        if error:
            messages.error(self.request, error)
        if full_load and HtmxDetails(self.request):
            return HttpResponseClientRedirect(url)
        response = HttpResponseRedirect(url)
        response.status_code = 303
        return response


class NotFoundPage(Page):
    """Catch-all page for unknown paths."""

    public = True

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        raise Http404


def redirect_to_sign_in(request: HttpRequest, next_page: str | None = None) -> HttpResponse:
    """Redirect to the sign-in, by default with the current page as ``next``. For a request of htmx that is the
    browser's page."""
    htmx = HtmxDetails(request)
    current_page = htmx.current_url_abs_path if htmx else None
    next_page = next_page or current_page or (request.get_full_path() if request.method == "GET" else "/")
    url = f"{reverse('dashboard:sign-in')}?{urlencode({'next': next_page})}"
    if htmx:
        return HttpResponseClientRedirect(url)
    return HttpResponseRedirect(url)


def with_security_headers(response: HttpResponseBase) -> HttpResponseBase:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def error_page(request: HttpRequest, status: int, reason: str = "") -> HttpResponse:
    """Render an error page. For a 5xx status it does not query the database, which may be what fails."""
    title, text = ERROR_TEXTS[status]
    content = {"title": title, "text": reason or text, "status": status, "is_server_error": status >= 500}
    return render(request, "dashboard/error.html", content, status=status)


@with_session
@with_user
@with_messages
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """The view of the setting ``CSRF_FAILURE_VIEW``."""
    view = getattr(resolve(request.path_info).func, "view_class", Page)
    if view.keeps_input and kept_forms.is_of_ended_session(request) and kept_forms.keep(request):
        return HttpResponseRedirect(request.get_full_path())
    text = "The form was not sent from a page of ours, or that page is too old. Open it again, and try once more."
    return with_security_headers(error_page(request, 403, text))
