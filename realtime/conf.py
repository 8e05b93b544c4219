"""The app's settings, as typed attributes of one object.

``conf.NAME`` is the Django setting ``REALTIME_NAME``. It is read at its first use and cached until a setting changes
(``setting_changed``).
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

T = TypeVar("T")

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}

# Flutter opens a stream every 29 s and never closes one. Ruby reads a stream only after its end.
SHORT_STREAM_SECONDS = 30.0


class Setting(cached_property[T]):
    """A setting: its value converted to its type, or the default if it is missing or None.

    Values from environment variables are strings. The converted value is cached, because each new stream reads several
    settings.
    """

    prefix = "REALTIME_"

    def __init__(self, default: T, convert: Callable[[Any], T], kind: str) -> None:
        super().__init__(lambda instance: self._read())
        self.default = default
        self._convert = convert
        self._kind = kind

    def _read(self) -> T:
        name = f"{self.prefix}{self.attrname}"
        value = getattr(settings, name, None)
        if value is None:
            return self.default
        try:
            return self._convert(value)
        except (TypeError, ValueError, OverflowError):
            raise ImproperlyConfigured(f"{name} must be {self._kind}, not {value!r}.") from None


def _to_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _to_flag(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in TRUE | FALSE:
        raise ValueError
    return word in TRUE


def _to_optional_flag(value: Any) -> bool | None:
    return None if not str(value).strip() else _to_flag(value)


def _to_whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _to_names(value: str | Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return tuple(value)


def _text(default: str) -> Setting[str]:
    return Setting(default, _to_text, "text")


def _flag(default: bool) -> Setting[bool]:
    return Setting(default, _to_flag, "true or false")


def _number(default: float) -> Setting[float]:
    return Setting(default, float, "a number")


def _count(default: int) -> Setting[int]:
    return Setting(default, _to_whole, "a whole number")


def _names() -> Setting[tuple[str, ...]]:
    return Setting((), _to_names, "names, separated by commas")


class RealtimeSettings:
    """The settings, with their defaults. Times are in seconds. docs/settings.md describes them for administrators."""

    HOST = _text("embedded")
    """The storage of environments: a name of ``hosts.HOSTS``. "embedded" (the model below), "flagsmith" (a real
    Flagsmith's models), "detached" (only what external publishers post), or the relay's, "relay"."""

    FLAGSMITH = _text("signals")
    """With the host "flagsmith": "signals" (signals in Flagsmith's own processes announce changes when they commit) or
    "follow" (no code runs there, and the versions that its tasks write late are read)."""

    ENVIRONMENT_MODEL = _text("environments.Environment")
    """The model of environments, as a label."""

    GATE_FIELD = _text("project__enable_realtime_updates")
    """The boolean field that enables an environment's streams: a lookup path from the environment's model."""

    PLAN_FIELD = _text("project__organisation__subscription__plan")
    """The field with the plan of an environment's organisation: a lookup path from the environment's model."""

    PLANS = _names()
    """Plans whose organisations may use real time. Empty: every plan."""

    WATCH = _text("realtime.changes.triggers.WATCHED")
    """The table of watched models, as a dotted path."""

    ANNOUNCE_IDENTITY_OVERRIDES = _flag(False)
    """Send an event when an identity override changes."""

    STREAM_SECONDS = _number(600.0)
    """The age at which a stream ends, less up to a random fifth. The SDK then reconnects. Streams of some clients are
    shorter (delivery/stream.py)."""

    OFREP_STREAM_SECONDS = _number(3600.0)
    """As above, for streams of OpenFeature providers, which report their flags as stale at each end of a stream."""

    KEEPALIVE_SECONDS = _number(10.0)
    """The silence after which a comment is sent. Ruby and iOS disconnect after 60 s; proxies often after 30 s."""

    REPEAT_SECONDS = _number(2.0)
    """If two events are closer together than this, the later one is repeated after this time."""

    REPEAT_ALL = _flag(False)
    """Repeat every event, for an external publisher that posts a change before it commits it."""

    RECONCILE_SECONDS = _number(1.0)
    """The interval at which a process reads which environments have changed."""

    BUS = _text("")
    """The bus to other processes: "memory", "postgres" or "redis". Empty: chosen by other settings (bus/)."""

    BUS_DATABASE_URL = _text("")
    """The database on which the postgres bus listens, if the default one is reached through a pooler."""

    STORE = _text("database")
    """The store of posted versions: "database" or "redis" (posted_versions/)."""

    REDIS_CLUSTER = _flag(False)
    """The Redis of ``EVENTSTREAM_REDIS`` is a node of a cluster."""

    REDIS_SENTINELS = _names()
    """Addresses of Sentinels, which know the address of Redis."""

    REDIS_SERVICE = _text("")
    """The name of the Sentinels' service."""

    WEDGED_SECONDS = _number(15.0)
    """Liveness fails if a part of the process has made no progress for this time."""

    METRICS_TOKEN = _text("")
    """The bearer token of /metrics. Empty: /metrics is a 404."""

    INSPECTION = Setting[bool | None](None, _to_optional_flag, "true or false")
    """Record streams and events of the last hour for the inspector (inspector/). None: only if the project's database
    may be written to (``Host.owns_models``)."""

    SPREAD_SECONDS = _number(0.0)
    """The window over which an event is delivered, to each stream at a random time (delivery/spread.py)."""

    SPREAD_AUTOMATICALLY = _flag(False)
    """Compute that window from the number of streams and from the reads that this process answers in a second."""

    DRAIN_SECONDS = _number(10.0)
    """The window over which streams are ended at a shutdown."""

    MAX_STREAMS = _count(0)
    """Streams per process (delivery/limits.py). 0: as many as its open files allow."""

    MAX_STREAMS_PER_ENVIRONMENT = _count(0)
    """Streams per environment and process. 0: no limit, here and below."""

    MAX_STREAMS_PER_ADDRESS = _count(0)
    """Streams per client address and process."""

    MAX_NEW_STREAMS_PER_SECOND = _number(0.0)
    """New streams per second and process. A burst may be as large as 30 seconds allow."""

    MAX_NEW_STREAMS_PER_SECOND_PER_ADDRESS = _number(0.0)
    """New streams per second, client address and process."""

    TRUSTED_PROXIES = _names()
    """Addresses and networks whose X-Forwarded-For is trusted, and "unix" for clients of a Unix socket."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all settings, without ``REALTIME_``."""
        return tuple(name for name, value in vars(cls).items() if isinstance(value, Setting))

    @cached_property
    def SHORT_STREAM_SECONDS(self) -> float:  # noqa: N802
        """The age of short streams, and the time that the server waits for a client that does not read."""
        return min(SHORT_STREAM_SECONDS, self.STREAM_SECONDS)

    @cached_property
    def USES_GRIP(self) -> bool:  # noqa: N802
        """A GRIP proxy may hold streams: ``GRIP_URL``, the setting of django-grip, names one."""
        return bool(getattr(settings, "GRIP_URL", None))

    @cached_property
    def TOKENS(self) -> tuple[str, ...]:  # noqa: N802
        """The tokens that external publishers may send, from ``SSE_AUTHENTICATION_TOKEN``, separated by commas.

        Several are accepted, so that a token can be replaced. Without one, ``queue-change`` is a 404.
        """
        return _to_names(getattr(settings, "SSE_AUTHENTICATION_TOKEN", None) or "")


conf = RealtimeSettings()


@receiver(setting_changed)
def _clear_cache(**kwargs: Any) -> None:
    conf.__dict__.clear()
