"""The app's settings: one object, read live, so that a test's override or a reload counts at once.

A value that comes from an environment variable is text and is converted to the type of its default.
"""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


class RealtimeSettings:
    """``conf.NAME`` is Django's ``REALTIME_NAME``, or the default below. Times are in seconds."""

    DEFAULTS: dict[str, Any] = {
        # Where environments live: "embedded" (the models below) or "detached" (the app's own table).
        "HOST": "embedded",
        "ENVIRONMENT_MODEL": "environments.Environment",
        # From the environment's model, in Django's notation for related fields.
        "GATE_FIELD": "project__enable_realtime_updates",
        "PLAN_FIELD": "project__organisation__subscription__plan",
        # Plans whose organisations may use real time, separated by commas. Empty: every plan.
        "PLANS": (),
        # The table of watched models, as a dotted path.
        "WATCH": "realtime.watch.WATCHED",
        "ANNOUNCE_IDENTITY_OVERRIDES": False,
        # A stream lives so long, less a random fifth, then ends and the SDK connects again.
        "STREAM_SECONDS": 30.0,
        # A comment after so long a silence. Ruby and iOS give up after 60 s; proxies often after 30 s.
        "KEEPALIVE_SECONDS": 10.0,
        # Two events closer than this, and the later one is said again after as long.
        "REPEAT_SECONDS": 2.0,
        "RECONCILE_SECONDS": 1.0,
        # An event reaches the streams of an environment over this window, each at a random moment of it (herds.py).
        "SPREAD_SECONDS": 0.0,
        # Size that window by the streams and by what this process answers in a second.
        "SPREAD_AUTOMATICALLY": False,
        # At a shutdown, streams end spread over this window.
        "DRAIN_SECONDS": 10.0,
    }

    def __getattr__(self, name: str) -> Any:
        try:
            default = self.DEFAULTS[name]
        except KeyError:
            raise AttributeError(f"There is no setting REALTIME_{name}.") from None
        return _converted(f"REALTIME_{name}", getattr(settings, f"REALTIME_{name}", default), default)

    @property
    def TOKEN(self) -> str:  # noqa: N802
        """The secret that an external publisher sends; empty: there is no such end point."""
        return getattr(settings, "SSE_AUTHENTICATION_TOKEN", None) or ""


def _converted(name: str, value: Any, default: Any) -> Any:
    if not isinstance(value, str) or isinstance(default, str):
        return value
    if isinstance(default, bool):
        if value.strip().lower() in TRUE | FALSE:
            return value.strip().lower() in TRUE
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
    if isinstance(default, tuple):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    try:
        return float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}.") from None


conf = RealtimeSettings()
