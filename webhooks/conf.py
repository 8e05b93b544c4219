"""The app's settings: one object with a typed attribute for each, in the form of ``realtime.conf``.

``conf.NAME`` is Django's setting ``WEBHOOKS_NAME``.
"""

import math
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, TypeVar

from django.core.signals import setting_changed
from django.dispatch import receiver

from realtime.conf import Setting

T = TypeVar("T")

Network = IPv4Network | IPv6Network

MAX_ATTEMPTS = 50


class WebhookSetting(Setting[T]):
    prefix = "WEBHOOKS_"


def _to_networks(value: str | Iterable[str]) -> tuple[Network, ...]:
    words = value.split(",") if isinstance(value, str) else value
    return tuple(ip_network(word.strip()) for word in words if word.strip())


def _to_positive(value: Any) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError
    return number


def _to_attempts(value: Any) -> int:
    number = int(value)
    if not 1 <= number <= MAX_ATTEMPTS:
        raise ValueError
    return number


def _positive(default: float) -> WebhookSetting[float]:
    return WebhookSetting(default, _to_positive, "a number above 0")


class WebhookSettings:
    """The settings, with their defaults. docs/settings.md describes them for administrators."""

    ALLOWED_NETWORKS = WebhookSetting[tuple[Network, ...]](
        (), _to_networks, "networks in CIDR notation, separated by commas"
    )
    """Networks that webhooks may reach although they are not public."""

    TIMEOUT_SECONDS = _positive(10.0)
    """The time limit of a request, from the DNS query to the end of the response."""

    ATTEMPTS = WebhookSetting(8, _to_attempts, f"a whole number from 1 to {MAX_ATTEMPTS}")
    """The number of attempts after which a delivery is given up."""

    BACKOFF_SECONDS = _positive(10.0)
    """The wait before the second attempt. It doubles with each further attempt, less a random part of up to a half."""

    KEEP_DAYS = _positive(3.0)
    """The retention period of finished deliveries."""

    CA_FILE = WebhookSetting("", str, "the path of a file")
    """A file of certificate authorities that are trusted in addition to the usual ones."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all settings, without ``WEBHOOKS_``."""
        return tuple(name for name, value in vars(cls).items() if isinstance(value, Setting))


conf = WebhookSettings()


@receiver(setting_changed)
def _forget(**kwargs: Any) -> None:
    conf.__dict__.clear()
