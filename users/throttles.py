"""How many calls one address may make where passwords and codes can be guessed, and accounts made, and how many wrong
passwords one account may get.

Counters live in Django's default cache: in Redis for all processes together, or in each process for itself.
"""

import hashlib
import re
import time
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import BaseCache, cache
from django.core.cache.backends.locmem import LocMemCache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from realtime.http import addresses

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

logger = structlog.get_logger(__name__)

# Where this process counts while Redis is away: a limit for each process is better than none, and than no log-in.
_own: BaseCache = LocMemCache("throttles", {"OPTIONS": {"MAX_ENTRIES": 50_000}})


class Throttle(SimpleRateThrottle):
    """Counts calls in windows that begin with a caller's first one.

    Django REST framework's own reads a list, adds to it and writes it back, so that many calls at the same moment count
    as one. A counter in the cache is raised by the cache. The address is the one that streams are counted by
    (realtime/http/addresses.py).
    """

    setting: str
    """Which setting has the rate: ``20/min``, ``10/15min``, or None for no limit."""

    num_requests: int
    duration: int
    """What the rate says, in calls and seconds."""

    counted: int
    """What ``allow`` has counted in its window."""

    def get_rate(self) -> str | None:
        rate: str | None = getattr(settings, self.setting)
        return rate

    def parse_rate(self, rate: str | None) -> Any:
        """Beside Django REST framework's own notation: several of a unit."""
        if rate is None:
            return None, None
        number, several, unit = re.split(r"/([0-9]*)([smhd]).*", rate)[:3]
        return int(number), int(several or 1) * UNITS[unit]

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.key_of(addresses.of_meta(request.META))

    def key_of(self, who: object) -> str:
        return self.cache_format % {"scope": self.scope, "ident": who}

    def allow_request(self, request: Request, view: APIView) -> bool:
        return self.rate is None or self.allow(self.get_cache_key(request, view))

    def allow(self, key: str, cost: int = 1) -> bool:
        """Count a call, or what else costs so much; whether it is within the rate."""
        if self.rate is None:
            return True
        self._counters: Any = cache
        try:
            self.counted, since = self._count(cache, key, cost)
        except (RedisError, OSError) as error:
            logger.warning("throttle_counts_alone", scope=self.scope, error=repr(error))
            self._counters = _own
            self.counted, since = self._count(_own, key, cost)
        self._counter = f"{key}_{since}"
        self._ends_at = since + self.duration
        return self.counted <= self.num_requests

    def take_back(self) -> None:
        """Do not count the call that was counted last: what it is counted for has not been done."""
        if self.rate is None:
            return
        try:
            self._counters.decr(self._counter)
        except (RedisError, OSError, ValueError) as error:  # ValueError: the counter has expired.
            logger.warning("throttle_call_not_taken_back", scope=self.scope, error=repr(error))

    def forget(self, key: str) -> None:
        """Count anew."""
        for counters in (cache, _own):
            try:
                counters.delete(key)
            except (RedisError, OSError) as error:
                logger.warning("throttle_counts_alone", scope=self.scope, error=repr(error))

    def wait(self) -> float:
        return max(1.0, self._ends_at - time.time())

    def _count(self, counters: Any, key: str, cost: int) -> tuple[int, float]:
        """What has been counted in this window, with this call, and when (Unix time) the window began."""
        since: float = counters.get_or_set(key, time.time, self.duration)
        # Of this window: a counter that outlives its window does not count for the next.
        counter = f"{key}_{since}"
        counters.add(counter, 0, self.duration + 60)
        return counters.incr(counter, cost), since


class LoginThrottle(Throttle):
    scope = "login"
    setting = "LOGIN_THROTTLE_RATE"


class FailedLogins(Throttle):
    """Wrong passwords for one account, wherever they come from, and whether or not somebody has the address.

    An attempt is counted before its password is looked at: of very many at the same moment, so many are looked at. A
    right one is then taken back, with those before it.
    """

    scope = "failed_logins"
    setting = "LOGIN_FAILURES_RATE"

    def key_of(self, who: object) -> str:
        """Of an address: any text that somebody sends, as something that any cache takes."""
        return super().key_of(hashlib.sha256(str(who).lower().encode("utf-8", "replace")).hexdigest())


class CodeThrottle(Throttle):
    """Codes of second factors. Each account has a limit of its own beside it (users/second_factor.py)."""

    scope = "mfa_code"
    setting = "CODE_THROTTLE_RATE"


class RegistrationThrottle(Throttle):
    scope = "signup"
    setting = "SIGNUP_THROTTLE_RATE"


class PasswordResetThrottle(Throttle):
    scope = "password_reset"
    setting = "PASSWORD_RESET_THROTTLE_RATE"


class ResetMailThrottle(Throttle):
    """Messages to one account, whoever asks for them."""

    scope = "reset_mail"
    setting = "PASSWORD_RESET_MAIL_RATE"
