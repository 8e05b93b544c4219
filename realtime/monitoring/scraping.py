"""``GET /metrics``, for Prometheus: the metrics of all processes of this server."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from realtime.conf import conf
from realtime.monitoring import metrics


@require_safe
def scrape(request: HttpRequest) -> HttpResponse:
    """Requires ``Authorization: Bearer <REALTIME_METRICS_TOKEN>``. 401 for a wrong token, 404 if none is configured.

    The client address cannot be used instead: behind a proxy all clients have the address of the proxy.
    """
    if not conf.METRICS_TOKEN:
        raise Http404
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not constant_time_compare(token.strip(), conf.METRICS_TOKEN):
        return JsonResponse({"detail": "Invalid token."}, status=401, headers={"WWW-Authenticate": "Bearer"})
    body, content_type = metrics.scrape(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type, headers={"Cache-Control": "no-store"})
