"""The app's settings: one object. What was read once is kept until Django says that a setting has changed.

A value that comes from an environment variable is text and is converted to the type of its default.
"""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


# Flutter opens a stream every 29 s and never closes one; Ruby reads nothing before its stream ends.
SHORT_STREAM_SECONDS = 30.0


class RealtimeSettings:
    """``conf.NAME`` is Django's ``REALTIME_NAME``, or the default below. Times are in seconds."""

    DEFAULTS: dict[str, Any] = {
        # Where environments live: "embedded" (the models below), "flagsmith" (a real Flagsmith's, which raises their
        # versions itself) or "detached" (the app's own table).
        "HOST": "embedded",
        "ENVIRONMENT_MODEL": "environments.Environment",
        # From the environment's model, in Django's notation for related fields.
        "GATE_FIELD": "project__enable_realtime_updates",
        "PLAN_FIELD": "project__organisation__subscription__plan",
        # Plans whose organisations may use real time, separated by commas. Empty: every plan.
        "PLANS": (),
        # The table of watched models, as a dotted path.
        "WATCH": "realtime.changes.watch.WATCHED",
        "ANNOUNCE_IDENTITY_OVERRIDES": False,
        # A stream lives so long at most, less a random fifth, then ends and the SDK connects again. Streams to some
        # clients have to be shorter (stream.py).
        "STREAM_SECONDS": 600.0,
        # A comment after so long a silence. Ruby and iOS give up after 60 s; proxies often after 30 s.
        "KEEPALIVE_SECONDS": 10.0,
        # Two events closer than this, and the later one is said again after as long.
        "REPEAT_SECONDS": 2.0,
        # Say every event again after as long: for a publisher elsewhere that tells of a change before it commits it.
        "REPEAT_ALL": False,
        "RECONCILE_SECONDS": 1.0,
        # How an event reaches other processes: "memory", "postgres" or "redis". Empty: by what is configured (bus/).
        "BUS": "",
        # Where the postgres bus listens, if the default database is reached through a pooler. Empty: there.
        "BUS_DATABASE_URL": "",
        # A part of the process that has made no progress for so long is wedged: liveness fails.
        "WEDGED_SECONDS": 15.0,
        # Who sends it may read /metrics. Empty: nobody.
        "METRICS_TOKEN": "",
        # Keep what the inspector shows: streams and events of the last hour (inspection/). Empty: where the host is
        # "embedded", whose database is ours to write to.
        "INSPECTION": "",
        # An event reaches the streams of an environment over this window, each at a random moment of it (herds.py).
        "SPREAD_SECONDS": 0.0,
        # Size that window by the streams and by what this process answers in a second.
        "SPREAD_AUTOMATICALLY": False,
        # At a shutdown, streams end spread over this window.
        "DRAIN_SECONDS": 10.0,
        # Limits (limits.py). 0: none. Of all streams of a process: as many as its open files allow.
        "MAX_STREAMS": 0.0,
        "MAX_STREAMS_PER_ENVIRONMENT": 0.0,
        "MAX_STREAMS_PER_ADDRESS": 0.0,
        # As many as half a minute allows may come at once.
        "MAX_NEW_STREAMS_PER_SECOND": 0.0,
        "MAX_NEW_STREAMS_PER_SECOND_PER_ADDRESS": 0.0,
        # Addresses and networks whose X-Forwarded-For is believed, and "unix" for who connects by a Unix socket.
        "TRUSTED_PROXIES": (),
    }

    def __getattr__(self, name: str) -> Any:
        try:
            default = self.DEFAULTS[name]
        except KeyError:
            raise AttributeError(f"There is no setting REALTIME_{name}.") from None
        value = _converted(f"REALTIME_{name}", getattr(settings, f"REALTIME_{name}", default), default)
        # An attribute from now on: a stream that opens reads several, at 3 µs each by this way.
        self.__dict__[name] = value
        return value

    @property
    def SHORT_STREAM_SECONDS(self) -> float:  # noqa: N802
        """Age of the streams that have to be short, and how long the server waits for a client that reads nothing."""
        return min(SHORT_STREAM_SECONDS, float(self.STREAM_SECONDS))

    @property
    def INSPECTS(self) -> bool:  # noqa: N802
        """What ``REALTIME_INSPECTION`` says, or means where it says nothing."""
        text = str(self.INSPECTION).strip().lower()
        if text not in TRUE | FALSE:
            raise ImproperlyConfigured(f"REALTIME_INSPECTION must be true or false, not {self.INSPECTION!r}.")
        return text in TRUE if text else self.HOST == "embedded"

    @property
    def TOKENS(self) -> tuple[str, ...]:  # noqa: N802
        """The secrets of which an external publisher sends one: several, separated by commas, while one takes the
        other's place. None: there is no such end point.
        """
        text: str = getattr(settings, "SSE_AUTHENTICATION_TOKEN", None) or ""
        return tuple([word for word in map(str.strip, text.split(",")) if word])


def _converted(name: str, value: Any, default: Any) -> Any:
    if isinstance(value, list):
        # What is computed from it is cached under it, so it has to be hashable.
        return tuple(value)
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


@receiver(setting_changed)
def _forget(**kwargs: Any) -> None:
    conf.__dict__.clear()
