"""What an external publisher says: an unmodified Flagsmith whose SSE_SERVER_BASE_URL points here.

``POST /sse/environments/{key}/queue-change``, with ``Authorization: Token <SSE_AUTHENTICATION_TOKEN>``. Body:
``{"updated_at": "<ISO 8601, UTC where it names no offset>"}``. For an environment of our own database that is a hint to
look again; any other key is kept in a table of its own, in which the greatest time wins. Answers 202 once that is
committed; 401 for a wrong token; 400 and 413 for a body that is not that; 404 when no token is configured; 503 when the
database takes nothing. ``intake.py`` answers ahead of Django what it can, ``views.py`` everything.
"""

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import Error, connections, router
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.dateparse import parse_datetime

from realtime import hosts
from realtime.changes import publish
from realtime.conf import conf
from realtime.models import ExternalEnvironment
from realtime.types import EPOCH, EnvironmentKey, EnvironmentState, UpdatedAt

MAX_BODY_BYTES = 4096

# A publisher's clock may be ahead of ours. A time far ahead would silence the environment until then.
MAX_AHEAD = timedelta(days=1)

# A pool whose server was started anew may lend so many connections that have died.
MOST_TRIES = 20

UNAVAILABLE = {"detail": "The change could not be stored. Send it again."}


class RefusalError(Exception):
    """What is wrong with a call, in Django REST framework's shape."""

    def __init__(self, status: int, **errors: str | list[str]) -> None:
        self.status = status
        self.errors = errors


class Change(NamedTuple):
    """What a call says."""

    key: EnvironmentKey
    updated_at: UpdatedAt


def authenticate(authorization: str) -> None:
    """Refuse a header that holds none of the tokens. How long it takes does not tell which, nor how much of one."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    # All of them, whatever came of the first.
    equal = [constant_time_compare(token, known) for known in conf.TOKENS]
    if scheme.lower() != "token" or not any(equal):
        raise RefusalError(401, detail="Invalid token.")


def read(key: str, body: bytes) -> Change:
    """What is said of the environment. ``body`` need be no longer than a byte more than may be."""
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
    updated_at = _time(parsed["updated_at"])
    if not hosts.is_valid_key(key):
        raise RefusalError(400, key=[f"A key has at most {hosts.MAX_KEY_LENGTH} characters, and no null byte."])
    return Change(EnvironmentKey(key), updated_at)


def take(changes: Collection[Change]) -> dict[Change, bool]:
    """Commit these changes in one transaction, all or none, then publish what is news. Raises what the database does.

    Each is True in what is returned.
    """
    newest: dict[EnvironmentKey, UpdatedAt] = {}
    for key, updated_at in changes:
        newest[key] = max(updated_at, newest.get(key, EPOCH))
    publish.publish(_kept(newest))
    return dict.fromkeys(changes, True)


def _kept(newest: dict[EnvironmentKey, UpdatedAt]) -> list[EnvironmentState]:
    """Once more, if the connection has died since it was used last: to say the same twice does no harm."""
    connection = connections[router.db_for_write(ExternalEnvironment)]
    for _ in range(MOST_TRIES):
        connection.ensure_connection()
        before = connection.connection
        try:
            return hosts.current().accept_posted(newest)
        except Error:
            # The end of a transaction opens a new connection in place of a dead one; there is none if it could not.
            now = connection.connection
            if connection.in_atomic_block or now is None or (now is before and connection.is_usable()):
                raise
            connection.close()
    return hosts.current().accept_posted(newest)


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
