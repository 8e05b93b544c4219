from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from api_keys.actor import APIKeyUser


class UsageThrottle(SimpleRateThrottle):
    """Limits the requests of each user or API key to all usage endpoints, by ``USAGE_THROTTLE_RATE``. None: no limit.

    Each request sums up many rows.
    """

    scope = "usage"

    def get_rate(self) -> str | None:
        rate: str | None = settings.USAGE_THROTTLE_RATE
        return rate

    def get_cache_key(self, request: Request, view: APIView) -> str:
        actor = request.user
        ident = f"key-{actor.key.pk}" if isinstance(actor, APIKeyUser) else f"user-{actor.pk}"
        return self.cache_format % {"scope": self.scope, "ident": ident}
