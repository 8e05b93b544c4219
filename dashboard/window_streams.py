"""The stream of a dashboard's window: the versions of an environment, for users who may see it.

``StreamPage`` decides like every page: session, visible environment, second factor. Where a page redirects, it is a
403. Its 200 response is never sent: the ASGI application ``window_streams`` sends the stream in its place. Later one
query for all open streams of the process ends those whose session or permission has ended.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Collection
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connections
from django.http import HttpRequest, HttpResponse, parse_cookie
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from core import paths
from dashboard.scoped_pages import EnvironmentPage
from environments.access import visible_environments
from realtime import runtime
from realtime.delivery import hub
from realtime.delivery.sinks import ASGISink
from realtime.delivery.window_stream import WindowStream
from realtime.failure_log import FailureLog
from realtime.http import drain, streams
from realtime.types import Application, EnvironmentKey, Message, Receive, Scope, Send
from users.models import FFAdminUser

logger = structlog.get_logger(__name__)

PATH = re.compile(rf"/projects/{paths.ID}/environments/(?P<key>{paths.ENVIRONMENT_KEY})/stream/")

# The longest time for which a stream outlives its session or permission.
CHECK_SECONDS = 5.0

# A further stream of the same session ends the oldest one.
MAX_STREAMS_PER_SESSION = 50

# Headers of public streams that a stream with a session must not have, and one that ``drain`` adds to all requests.
REMOVED_HEADERS = {b"access-control-allow-origin", b"cache-control", b"connection"}
PRIVATE = (b"cache-control", b"private, no-store")


class StreamPage(EnvironmentPage):
    """The address of the stream, as far as Django answers it."""

    is_remembered = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        # An EventSource follows a redirect, and the page for signing in is no stream.
        is_redirect = HTTPStatus.MULTIPLE_CHOICES <= response.status_code < HTTPStatus.BAD_REQUEST
        return HttpResponse(status=HTTPStatus.FORBIDDEN) if is_redirect else response

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return HttpResponse(content_type="text/event-stream")


class Visit(NamedTuple):
    """The session and the environment of an open stream."""

    session: str
    environment: EnvironmentKey


class OpenStreams:
    """The open streams of one event loop."""

    def __init__(self) -> None:
        self._visits: dict[WindowStream, Visit] = {}
        self._task: asyncio.Task[None] | None = None
        self._failures = FailureLog(logger, "window_streams_unchecked", has_stack=True)

    def add(self, stream: WindowStream, visit: Visit) -> None:
        of_session = [each for each, other in self._visits.items() if other.session == visit.session]
        for oldest in of_session[: len(of_session) + 1 - MAX_STREAMS_PER_SESSION]:
            oldest.end()
        self._visits[stream] = visit
        if self._task is None or self._task.done():
            self._task = hub.current().spawn(self._check_regularly())

    def remove(self, stream: WindowStream) -> None:
        del self._visits[stream]

    async def _check_regularly(self) -> None:
        while self._visits:
            await asyncio.sleep(CHECK_SECONDS)
            visits = set(self._visits.values())
            try:
                allowed = await asyncio.to_thread(allowed_visits, visits)
            except Exception as error:
                self._failures.failed(error)
                continue
            self._failures.succeeded()
            for stream, visit in list(self._visits.items()):
                if visit in visits - allowed:
                    stream.end()


def allowed_visits(visits: Collection[Visit]) -> set[Visit]:
    """The visits whose session is valid and whose user may see the environment: two queries, and one for each user."""
    try:
        keys = {visit.session for visit in visits}
        sessions = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
        data_by_key = {session.session_key: session.get_decoded() for session in sessions}
        user_pks = {data[SESSION_KEY] for data in data_by_key.values() if SESSION_KEY in data}
        users = {str(user.pk): user for user in FFAdminUser.objects.filter(pk__in=user_pks, is_active=True)}
        by_user: dict[str, set[Visit]] = defaultdict(set)
        for visit in visits:
            data = data_by_key.get(visit.session, {})
            user = users.get(data.get(SESSION_KEY, ""))
            # A new password ends the user's sessions.
            if user is not None and constant_time_compare(data[HASH_SESSION_KEY], user.get_session_auth_hash()):
                by_user[str(user.pk)].add(visit)
        allowed = set()
        for pk, of_user in by_user.items():
            environments = visible_environments(users[pk]).filter(api_key__in={each.environment for each in of_user})
            visible = set(environments.values_list("api_key", flat=True))
            allowed |= {visit for visit in of_user if visit.environment in visible}
        return allowed
    finally:
        # The thread is not one of Django's, which would return the connection to the pool.
        connections.close_all()


def window_streams(application: Application) -> Application:
    """ASGI middleware: a stream in place of a 200 response of ``StreamPage``."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        match = PATH.fullmatch(scope["path"]) if scope["method"] == "GET" else None
        if match is None:
            await application(scope, receive, send)
            return
        messages = await _response(application, scope)
        if messages[0]["status"] != HTTPStatus.OK:
            for message in messages:
                await send(message)
            return
        if drain.must_hand_over(scope):
            await drain.hand_over(send)
            return
        key = EnvironmentKey(match["key"])
        sink = ASGISink(_private(send, messages[0]["headers"]))
        stream = WindowStream(sink)
        opened = runtime.current().get(OpenStreams)
        opened.add(stream, Visit(_session(scope), key))
        try:
            await streams.serve(key, scope, receive, stream, sink)
        finally:
            opened.remove(stream)

    return call


async def _response(application: Application, scope: Scope) -> list[Message]:
    """The messages of Django's response to the request, which has no body."""
    messages: list[Message] = []
    requests: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not requests:
            await asyncio.Future()
        return requests.pop()

    async def send(message: Message) -> None:
        messages.append(message)

    await application(scope, receive, send)
    return messages


def _private(send: Send, page_headers: Collection[tuple[bytes, bytes]]) -> Send:
    """Replace the headers that make a stream public. Cookies of the page's response are kept."""
    kept = [PRIVATE, *((name, value) for name, value in page_headers if name.lower() in (b"set-cookie", b"vary"))]

    async def call(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [header for header in message["headers"] if header[0] not in REMOVED_HEADERS]
            message = {**message, "headers": [*headers, *kept]}
        await send(message)

    return call


def _session(scope: Scope) -> str:
    """The key of the request's session."""
    cookies = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
    return parse_cookie("; ".join(cookies)).get(settings.SESSION_COOKIE_NAME, "")
