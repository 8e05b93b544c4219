from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView


class LoginThrottle(SimpleRateThrottle):
    """``LOGIN_THROTTLE_RATE`` log-ins from one address; None sets no limit.

    The counters live in Django's default cache, so by default in each process for itself. Behind a proxy the address
    is what Django REST framework's ``NUM_PROXIES`` makes of X-Forwarded-For.
    """

    scope = "login"

    def get_rate(self) -> str | None:
        rate: str | None = settings.LOGIN_THROTTLE_RATE
        return rate

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}
