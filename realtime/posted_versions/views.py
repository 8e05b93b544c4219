"""The view of ``queue-change``: for any server, and for invalid posts (see ``queue_change.py``)."""

import structlog
from django.db import Error
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from realtime.conf import conf
from realtime.hosts import StoreError
from realtime.posted_versions.queue_change import MAX_BODY_BYTES, UNAVAILABLE, InvalidPost, authenticate, read, store

logger = structlog.get_logger(__name__)


@csrf_exempt
@require_POST
def queue_change(request: HttpRequest, key: str) -> JsonResponse:
    """Store and publish a posted version."""
    if not conf.TOKENS:
        raise Http404
    try:
        authenticate(request.headers.get("Authorization", ""))
        store([read(key, request.read(MAX_BODY_BYTES + 1))])
    except InvalidPost as invalid:
        return JsonResponse(invalid.errors, status=invalid.status)
    except (Error, StoreError) as error:
        logger.warning("changes_unwritable", error=repr(error))
        return JsonResponse(UNAVAILABLE, status=503)
    return JsonResponse({}, status=202)
