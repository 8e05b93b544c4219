"""``queue-change``, the endpoint for external publishers, such as a Flagsmith whose SSE_SERVER_BASE_URL points here.

``POST /sse/environments/{key}/queue-change`` with ``Authorization: Token <SSE_AUTHENTICATION_TOKEN>`` and the body
``{"updated_at": "<ISO 8601, UTC without an offset>"}``. For an environment in the host's own database, the post is a
hint to read its state again; the version of any other key is stored (``Host.posted``), and the greatest wins.

Status: 202 when that is committed; 401 for a wrong token; 400 and 413 for an invalid body; 404 if no token is
configured; 503 if the store is not available. ``view`` answers any post; ``intake.py`` is a shortcut for
valid ones.

One transaction runs at a time; posts that arrive meanwhile, by the view or the shortcut, share the next one. Without an
event loop (WSGI) each post has its own transaction.
"""

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from asgiref.sync import async_to_sync
from django.http import Http404, HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.dateparse import parse_datetime
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from realtime import hosts, runtime
from realtime.batching import Batcher, DatabaseThread, retried
from realtime.changes import publish
from realtime.compat.django import has_event_loop
from realtime.conf import conf
from realtime.types import EPOCH, EnvironmentKey, UpdatedAt

logger = structlog.get_logger(__name__)

# If SSE_SERVER_BASE_URL ends with a slash, Flagsmith posts to a path with two.
PATH = re.compile(r"/+(sse/environments/([^/]+)/queue-change)")

MAX_BODY_BYTES = 4096

# A publisher's clock may be ahead of ours. A version far in the future would block all later ones until then.
MAX_AHEAD = timedelta(days=1)

# The minimum interval between the starts of two transactions. One costs 0.6 ms, as much as six posts, so transactions
# take an eighth of a core at most. A single publisher that waits for each response is not delayed.
MIN_INTERVAL_SECONDS = 0.005

# A post is answered before Flagsmith's own timeout of 2 s: with 503, after which Flagsmith's task processor retries.
TIMEOUT_SECONDS = 1.8

ACCEPTED: dict[str, str] = {}
UNAVAILABLE = {"detail": "The change could not be stored. Send it again."}


class InvalidPost(Exception):
    """A post is rejected. ``errors`` is the response's body, in Django REST framework's format."""

    def __init__(self, status: int, **errors: str | list[str]) -> None:
        self.status = status
        self.errors = errors


class PostedVersion(NamedTuple):
    """An environment's version that a publisher posts."""

    key: EnvironmentKey
    updated_at: UpdatedAt


@csrf_exempt
@require_POST
def view(request: HttpRequest, key: str) -> JsonResponse:
    """Store and publish a posted version."""
    if not conf.TOKENS:
        raise Http404
    try:
        posted = read(request.headers.get("Authorization", ""), key, request.read(MAX_BODY_BYTES + 1))
    except InvalidPost as invalid:
        return _response(invalid.errors, invalid.status)
    try:
        if has_event_loop(request):
            async_to_sync(_store_with_others)(posted)
        else:
            _store_alone(posted)
    except Exception:
        # The queue logs its failures, and ``_store_alone`` its own.
        return _response(UNAVAILABLE, 503)
    return _response(ACCEPTED, 202)


async def _store_with_others(posted: PostedVersion) -> None:
    await queue().result(posted)


def _store_alone(posted: PostedVersion) -> None:
    try:
        retried(lambda: store([posted]))
    except Exception as error:
        logger.warning("changes_unwritable", error=repr(error))
        raise


def _response(body: object, status: int) -> JsonResponse:
    # The project's middleware may not add this header. The shortcut's responses have it, too.
    return JsonResponse(body, safe=False, status=status, headers={"X-Content-Type-Options": "nosniff"})


def _authenticate(authorization: str) -> None:
    """Raise InvalidPost for a header without one of the tokens. The duration does not depend on the tokens' content."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    # Compare all, also after a match.
    equal = [constant_time_compare(token, expected) for expected in conf.TOKENS]
    if scheme.lower() != "token" or not any(equal):
        raise InvalidPost(401, detail="Invalid token.")


def read(authorization: str, key: str, body: bytes) -> PostedVersion:
    """Authenticate and parse a post. ``body`` may be cut after ``MAX_BODY_BYTES + 1``. Raises InvalidPost."""
    _authenticate(authorization)
    if len(body) > MAX_BODY_BYTES:
        raise InvalidPost(413, detail="The request's body is too large.")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidPost(400, detail="JSON parse error.") from error
    if not isinstance(parsed, dict):
        raise InvalidPost(400, detail="Expected an object.")
    if "updated_at" not in parsed:
        raise InvalidPost(400, updated_at=["This field is required."])
    updated_at = _time(parsed["updated_at"])
    if not hosts.is_valid_key(key):
        raise InvalidPost(400, key=[f"A key has at most {hosts.MAX_KEY_LENGTH} characters, and no null byte."])
    return PostedVersion(EnvironmentKey(key), updated_at)


def queue() -> Batcher[PostedVersion, bool]:
    """The event loop's queue of posts to store and publish. A post fails if it was not stored in time."""
    return runtime.current().get(_make_queue)


def _make_queue() -> Batcher[PostedVersion, bool]:
    thread = DatabaseThread("realtime-intake")
    return Batcher(thread, store, "changes_unwritable", MIN_INTERVAL_SECONDS, timeout=TIMEOUT_SECONDS)


def store(posted: Collection[PostedVersion]) -> dict[PostedVersion, bool]:
    """Commit these versions in one transaction, then publish those that are newer. Raises the store's errors.

    Returns True for each of them, as ``Batcher`` needs a result for each.
    """
    newest: dict[EnvironmentKey, UpdatedAt] = {}
    for key, updated_at in posted:
        newest[key] = max(updated_at, newest.get(key, EPOCH))
    # A repetition changes nothing.
    publish.publish(hosts.current().accept_posted(newest))
    return dict.fromkeys(posted, True)


def _time(text: object) -> UpdatedAt:
    try:
        time = parse_datetime(text) if isinstance(text, str) else None
        utc = time and (time.replace(tzinfo=UTC) if timezone.is_naive(time) else time.astimezone(UTC))
    except (ValueError, OverflowError):
        utc = None
    if not isinstance(utc, datetime):
        raise InvalidPost(400, updated_at=["Datetime has wrong format. Use ISO 8601."])
    if not EPOCH <= utc <= timezone.now() + MAX_AHEAD:
        raise InvalidPost(400, updated_at=["The time must be neither before 1970 nor more than a day ahead."])
    return utc
