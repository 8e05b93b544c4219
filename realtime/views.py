"""What an external publisher calls: an unmodified Flagsmith whose SSE_SERVER_BASE_URL points here."""

import json
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.http import Http404, HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.dateparse import parse_datetime
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from realtime import hosts, publish
from realtime.conf import conf
from realtime.models import ExternalEnvironment
from realtime.types import EPOCH, EnvironmentKey, EnvironmentState, UpdatedAt

MAX_BODY_BYTES = 4096

# A publisher's clock may be ahead of ours. A time far ahead would silence the environment until then.
MAX_AHEAD = timedelta(days=1)


class RefusalError(Exception):
    """What is wrong with a call, in Django REST framework's shape."""

    def __init__(self, status: int, **errors: str | list[str]) -> None:
        self.status = status
        self.errors = errors


@csrf_exempt
@require_POST
def queue_change(request: HttpRequest, key: str) -> JsonResponse:
    """``POST /sse/environments/{key}/queue-change``, with ``Authorization: Token <SSE_AUTHENTICATION_TOKEN>``.

    Body: ``{"updated_at": "<ISO 8601, UTC where it names no offset>"}``. For an environment of our own database that
    is a hint to look again; any other key is kept in a table of its own, in which the greatest time wins. Answers
    202; 401 for a wrong token; 400 and 413 for a body that is not that; 404 when no token is configured.
    """
    try:
        _authenticate(request)
        updated_at = _updated_at(request)
        if not hosts.is_possible(key):
            raise RefusalError(400, key=[f"A key has at most {hosts.MAX_KEY_LENGTH} characters, and no null byte."])
    except RefusalError as refusal:
        return JsonResponse(refusal.errors, status=refusal.status)
    publish.publish(_news(EnvironmentKey(key), updated_at))
    return JsonResponse({}, status=202)


def _authenticate(request: HttpRequest) -> None:
    if not conf.TOKEN:
        raise Http404
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "token" or not constant_time_compare(token.strip(), conf.TOKEN):
        raise RefusalError(401, detail="Invalid token.")


def _updated_at(request: HttpRequest) -> UpdatedAt:
    body = request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise RefusalError(413, detail="The request's body is too large.")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusalError(400, detail="JSON parse error.") from error
    if not isinstance(parsed, dict):
        raise RefusalError(400, detail="Expected an object.")
    if "updated_at" not in parsed:
        raise RefusalError(400, updated_at=["This field is required."])
    return _time(parsed["updated_at"])


def _time(text: object) -> UpdatedAt:
    try:
        time = parse_datetime(text) if isinstance(text, str) else None
        utc = time and (time.replace(tzinfo=UTC) if timezone.is_naive(time) else time.astimezone(UTC))
    except (ValueError, OverflowError):
        utc = None
    if not isinstance(utc, datetime):
        raise RefusalError(400, updated_at=["Datetime has wrong format. Use ISO 8601."])
    if not EPOCH <= utc <= timezone.now() + MAX_AHEAD:
        raise RefusalError(400, updated_at=["The time must be neither before 1970 nor more than a day ahead."])
    return utc


def _news(key: EnvironmentKey, updated_at: UpdatedAt) -> list[EnvironmentState]:
    """What there is to publish after this call: nothing, if we knew of a later time."""
    if hosts.current().knows(key):
        return list(hosts.current().states([key]).values())
    with transaction.atomic():
        known, created = ExternalEnvironment.objects.select_for_update().get_or_create(
            key=key, defaults={"updated_at": updated_at}
        )
        if not created and known.updated_at >= updated_at:
            return []
        known.updated_at = updated_at
        known.save()
    return [EnvironmentState(key, updated_at, True)]
