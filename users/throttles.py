"""Throttles of registration, log-in, codes and password resets, by address; and of failed log-ins, by account.

Counters are in Django's default cache: in Redis for all processes, or else in each process for itself.
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

# Counters of this process while Redis is unavailable. A limit for each process is better than no limit or no log-in.
_local_cache: BaseCache = LocMemCache("throttles", {"OPTIONS": {"MAX_ENTRIES": 50_000}})


class Throttle(SimpleRateThrottle):
    """Counts calls in windows that begin with the first call.

    Django REST framework's own throttle reads a list, appends to it and writes it back, so that concurrent calls count
    as one. This one increments a counter in the cache, which is atomic. The address is the one by which streams are
    counted (realtime/http/addresses.py).
    """

    setting: str
    """The setting with the rate: ``20/min``, ``10/15min``, or None for no limit."""

    num_requests: int
    duration: int
    """The rate, in calls and seconds."""

    counted: int
    """The count of the window, after ``allow``."""

    def get_rate(self) -> str | None:
        rate: str | None = getattr(settings, self.setting)
        return rate

    def parse_rate(self, rate: str | None) -> Any:
        """Extends Django REST framework's notation by periods of several units: ``10/15min``."""
        if rate is None:
            return None, None
        number, units, unit = re.split(r"/([0-9]*)([smhd]).*", rate)[:3]
        return int(number), int(units or 1) * UNITS[unit]

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.key_of(addresses.of_meta(request.META))

    def key_of(self, identifier: object) -> str:
        return self.cache_format % {"scope": self.scope, "ident": identifier}

    def allow_request(self, request: Request, view: APIView) -> bool:
        return self.rate is None or self.allow(self.get_cache_key(request, view))

    def allow(self, key: str, cost: int = 1) -> bool:
        """Count a call, or an operation of this ``cost``. True if it is within the rate."""
        if self.rate is None:
            return True
        self._cache: Any = cache
        try:
            self.counted, since = self._count(cache, key, cost)
        except (RedisError, OSError) as error:
            logger.warning("throttle_counts_locally", scope=self.scope, error=repr(error))
            self._cache = _local_cache
            self.counted, since = self._count(_local_cache, key, cost)
        self._counter = f"{key}_{since}"
        self._ends_at = since + self.duration
        return self.counted <= self.num_requests

    def uncount(self) -> None:
        """Subtract the call that ``allow`` has counted, because the counted operation was not performed."""
        if self.rate is None:
            return
        try:
            self._cache.decr(self._counter)
        except (RedisError, OSError, ValueError) as error:  # ValueError: the counter has expired.
            logger.warning("throttle_call_not_uncounted", scope=self.scope, error=repr(error))

    def reset(self, key: str) -> None:
        """End the current window. The next call begins a new one."""
        for counters in (cache, _local_cache):
            try:
                counters.delete(key)
            except (RedisError, OSError) as error:
                logger.warning("throttle_counts_locally", scope=self.scope, error=repr(error))

    def wait(self) -> float:
        return max(1.0, self._ends_at - time.time())

    def _count(self, counters: Any, key: str, cost: int) -> tuple[int, float]:
        """Count a call. Returns the count of the window and the start of the window (Unix time)."""
        since: float = counters.get_or_set(key, time.time, self.duration)
        # The counter's name contains the start of the window, because the counter may expire after the window.
        counter = f"{key}_{since}"
        counters.add(counter, 0, self.duration + 60)
        return counters.incr(counter, cost), since


class LoginThrottle(Throttle):
    scope = "login"
    setting = "LOGIN_THROTTLE_RATE"


class FailedLogins(Throttle):
    """Failed log-ins for one e-mail address, from any client, registered or not.

    An attempt is counted before its password is checked, so that the limit also holds for concurrent attempts. A right
    password resets the count.
    """

    scope = "failed_logins"
    setting = "LOGIN_FAILURES_RATE"

    def key_of(self, identifier: object) -> str:
        """The key of an e-mail address. Hashed, because a client may send any text and caches limit their keys."""
        return super().key_of(hashlib.sha256(str(identifier).lower().encode("utf-8", "replace")).hexdigest())


class CodeThrottle(Throttle):
    """Codes of second factors, by address. users/second_factor.py also limits them by account."""

    scope = "mfa_code"
    setting = "CODE_THROTTLE_RATE"


class RegistrationThrottle(Throttle):
    scope = "signup"
    setting = "SIGNUP_THROTTLE_RATE"


class PasswordResetThrottle(Throttle):
    scope = "password_reset"
    setting = "PASSWORD_RESET_THROTTLE_RATE"


class ResetMailThrottle(Throttle):
    """Password reset mails, by account."""

    scope = "reset_mail"
    setting = "PASSWORD_RESET_MAIL_RATE"
