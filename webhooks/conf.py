"""The app's settings: one object, read live. Values come from environment variables, so they are text."""

import math
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

Network = IPv4Network | IPv6Network


def _networks(value: Any) -> tuple[Network, ...]:
    words = value.split(",") if isinstance(value, str) else value
    return tuple(ip_network(word.strip()) for word in words if word.strip())


def _positive(value: Any) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError("it has to be above zero")
    return number


def _attempts(value: Any) -> int:
    number = int(value)
    if not 1 <= number <= 50:
        raise ValueError("it has to be between 1 and 50")
    return number


class WebhookSettings:
    """``conf.NAME`` is Django's ``WEBHOOKS_NAME``, or the default below. Raises ImproperlyConfigured, naming it."""

    DEFAULTS: dict[str, tuple[Callable[[Any], Any], Any]] = {
        # Networks that webhooks may reach although they are not public, in CIDR notation, separated by commas.
        "ALLOWED_NETWORKS": (_networks, ""),
        # From the look-up of the host's name to the end of the answer.
        "TIMEOUT_SECONDS": (_positive, 10.0),
        "ATTEMPTS": (_attempts, 8),
        # Before the second attempt; twice as long before each further one, and up to a half less by chance.
        "BACKOFF_SECONDS": (_positive, 10.0),
        # How long deliveries that are done or given up are kept.
        "KEEP_DAYS": (_positive, 3.0),
        # A file of certificate authorities that are trusted beside the usual ones.
        "CA_FILE": (str, ""),
    }

    def __getattr__(self, name: str) -> Any:
        try:
            convert, default = self.DEFAULTS[name]
        except KeyError:
            raise AttributeError(f"There is no setting WEBHOOKS_{name}.") from None
        value = getattr(settings, f"WEBHOOKS_{name}", default)
        try:
            return convert(value)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"WEBHOOKS_{name} cannot be {value!r}: {error}.") from None


conf = WebhookSettings()
