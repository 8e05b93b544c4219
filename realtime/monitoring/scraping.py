"""``GET /metrics``, for Prometheus: the figures of all processes of this server."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from realtime.conf import conf
from realtime.monitoring import metrics


@require_safe
def scrape(request: HttpRequest) -> HttpResponse:
    """With ``Authorization: Bearer <REALTIME_METRICS_TOKEN>``. 401 for another one; 404 where none is configured.

    An address would prove nothing: behind a proxy all clients have the proxy's.
    """
    if not conf.METRICS_TOKEN:
        raise Http404
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not constant_time_compare(token.strip(), conf.METRICS_TOKEN):
        return JsonResponse({"detail": "Invalid token."}, status=401, headers={"WWW-Authenticate": "Bearer"})
    body, content_type = metrics.scrape(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type, headers={"Cache-Control": "no-store"})
