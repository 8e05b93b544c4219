"""``queue-change`` as Django answers it: on any server, and whatever is wrong with a call (see ``queue_change.py``)."""

import structlog
from django.db import Error
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from realtime.conf import conf
from realtime.external.queue_change import MAX_BODY_BYTES, UNAVAILABLE, RefusalError, authenticate, read, take

logger = structlog.get_logger(__name__)


@csrf_exempt
@require_POST
def queue_change(request: HttpRequest, key: str) -> JsonResponse:
    """Take one change."""
    if not conf.TOKENS:
        raise Http404
    try:
        authenticate(request.headers.get("Authorization", ""))
        take([read(key, request.read(MAX_BODY_BYTES + 1))])
    except RefusalError as refusal:
        return JsonResponse(refusal.errors, status=refusal.status)
    except Error as error:
        logger.warning("changes_unwritable", error=repr(error))
        return JsonResponse(UNAVAILABLE, status=503)
    return JsonResponse({}, status=202)
