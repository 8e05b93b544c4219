"""What is wrong with the configuration, said at start with an id and a hint."""

import math
import resource
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import connection
from django.db.models import Model
from django.utils.module_loading import import_string

from realtime import bus, extras, hosts
from realtime.changes.triggers import Watch
from realtime.conf import conf
from realtime.http import addresses

MAX_SILENCE_SECONDS = 15

# Settings of a real Flagsmith, in seconds, and what it then keeps. Nothing but time ends that.
FLAGSMITH_CACHES = {
    "ENVIRONMENT_CACHE_SECONDS": "the version (X-Flagsmith-Document-Updated-At)",
    "CACHE_FLAGS_SECONDS": "flags",
    "CACHE_PROJECT_SEGMENTS_SECONDS": "segments",
    "ENVIRONMENT_SEGMENTS_CACHE_SECONDS": "segments",
    "GET_FLAGS_ENDPOINT_CACHE_SECONDS": "flags",
    "GET_IDENTITIES_ENDPOINT_CACHE_SECONDS": "an identity's flags",
    "CACHE_ENVIRONMENT_DOCUMENT_SECONDS": "the environment document",
}


def _unknown() -> list[CheckMessage]:
    """Names that nothing reads: misspelt ones, most often."""
    names = {f"REALTIME_{name}" for name in conf.names()}
    given = sorted(name for name in dir(settings) if name.startswith("REALTIME_") and name not in names)
    return [
        checks.Warning(
            f"{name} is no setting.",
            hint="".join(f"Did you mean {close}?" for close in get_close_matches(name, names, 1)) or None,
            id="realtime.W002",
        )
        for name in given
    ]


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Every setting can be read, and the app finds what it names."""
    messages: list[CheckMessage] = []
    for name in conf.names():
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            messages.append(Error(str(error), hint="Set it right or leave it out.", id="realtime.E001"))
    if messages:
        return messages
    messages += _unknown()
    if not apps.is_installed("django_eventstream"):
        messages.append(
            Error(
                "django-eventstream is not installed as an app.",
                hint="Add 'django_eventstream' to INSTALLED_APPS.",
                id="realtime.E002",
            )
        )
    if conf.INSPECTION and not apps.is_installed("realtime.inspector"):
        messages.append(
            Error(
                "REALTIME_INSPECTION is on, and the inspector is not installed as an app.",
                hint="Add 'realtime.inspector' to INSTALLED_APPS.",
                id="realtime.E013",
            )
        )
    if conf.HOST not in hosts.HOSTS:
        messages.append(
            Error(
                f"REALTIME_HOST is {conf.HOST!r}.",
                hint=f"It is one of {', '.join(hosts.HOSTS)}.",
                id="realtime.E003",
            )
        )
    elif conf.HOST != "detached":
        messages += _check_models()
    if conf.HOST == "flagsmith":
        messages += _check_caches()
    return messages + _check_times() + _check_limits() + _check_bus()


def _check_caches() -> list[CheckMessage]:
    """What a real Flagsmith keeps of its answers for a time, whatever changes meanwhile."""
    messages: list[CheckMessage] = [
        checks.Warning(
            f"{name} is {seconds}: for so many seconds Flagsmith may answer with {what} from before an event.",
            hint="Set it to 0 for all of its processes.",
            id="realtime.W020",
        )
        for name, what in FLAGSMITH_CACHES.items()
        if (seconds := getattr(settings, name, 0))
    ]
    mode = getattr(settings, "CACHE_ENVIRONMENT_DOCUMENT_MODE", None)
    if getattr(mode, "name", mode) == "PERSISTENT":
        messages.append(
            checks.Warning(
                "CACHE_ENVIRONMENT_DOCUMENT_MODE is PERSISTENT: Flagsmith writes the document after the version.",
                hint="Leave it out, or use the drop-in server, which Flagsmith tells when the document is written.",
                id="realtime.W021",
            )
        )
    return messages


def _check_times() -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    may_be_zeros = ("REPEAT_SECONDS", "DRAIN_SECONDS", "SPREAD_SECONDS")
    for name in ("STREAM_SECONDS", "KEEPALIVE_SECONDS", "RECONCILE_SECONDS", "WEDGED_SECONDS", *may_be_zeros):
        seconds, may_be_zero = getattr(conf, name), name in may_be_zeros
        if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not may_be_zero):
            messages.append(Error(f"REALTIME_{name} cannot be {seconds}.", id="realtime.E006"))
    if conf.KEEPALIVE_SECONDS > MAX_SILENCE_SECONDS:
        messages.append(
            checks.Warning(
                f"REALTIME_KEEPALIVE_SECONDS is above {MAX_SILENCE_SECONDS}.",
                hint="Some SDKs and proxies give up on a stream that is silent for long.",
                id="realtime.W001",
            )
        )
    return messages


def _check_limits() -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    for name in (name for name in conf.names() if name.startswith("MAX_")):
        most = getattr(conf, name)
        if not math.isfinite(most) or most < 0:
            messages.append(Error(f"REALTIME_{name} cannot be {most}.", hint="0 is no limit.", id="realtime.E011"))
    try:
        addresses.parse_trusted(conf.TRUSTED_PROXIES)
    except ValueError as error:
        messages.append(
            Error(
                f"REALTIME_TRUSTED_PROXIES: {error}.",
                hint=f"Name addresses and networks, such as 10.0.0.0/8, and {addresses.UNIX!r} for Unix sockets.",
                id="realtime.E012",
            )
        )
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files <= conf.MAX_STREAMS:
        messages.append(
            checks.Warning(
                f"REALTIME_MAX_STREAMS is {conf.MAX_STREAMS:,}, and a process may have {files:,} open files.",
                hint="Each stream takes one. Raise the limit of open files (LimitNOFILE, ulimit -Hn).",
                id="realtime.W011",
            )
        )
    return messages


def _check_bus() -> list[CheckMessage]:
    """The bus can be used: what REALTIME_BUS names, or what is chosen in its place."""
    name = bus.name()
    problem, hint = "", ""
    if name not in bus.BACK_ENDS:
        problem, hint = "is unknown", f"It is one of {', '.join(bus.BACK_ENDS)}; empty, it is chosen."
    elif name == "redis" and not hasattr(settings, "EVENTSTREAM_REDIS"):
        problem, hint = "needs a Redis", "Set REDIS_URL; in a project of your own, EVENTSTREAM_REDIS."
    elif name == "postgres" and connection.vendor != "postgresql":
        problem, hint = "needs PostgreSQL as the default database", "Leave REALTIME_BUS out."
    elif name == "postgres" and (missing := extras.problem("postgresql", "psycopg")):
        problem, hint = "needs psycopg 3", missing
    if not problem:
        return []
    return [Error(f"REALTIME_BUS is {name!r}, which {problem}.", hint=hint, id="realtime.E008")]


def _check_models() -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    try:
        environment = apps.get_model(conf.ENVIRONMENT_MODEL)
    except (LookupError, ValueError):
        return [
            Error(
                f"There is no model {conf.ENVIRONMENT_MODEL!r}.",
                hint="Set REALTIME_ENVIRONMENT_MODEL to the model of environments, or REALTIME_HOST to 'detached'.",
                id="realtime.E004",
            )
        ]
    for path in ("api_key", "updated_at", conf.GATE_FIELD, *([conf.PLAN_FIELD] if conf.PLANS else [])):
        if not _has_field(environment, path):
            messages.append(
                Error(
                    f"{conf.ENVIRONMENT_MODEL} has no field {path!r}.",
                    hint="REALTIME_GATE_FIELD and REALTIME_PLAN_FIELD say where the project's switch and the plan are.",
                    id="realtime.E005",
                )
            )
    try:
        table: tuple[Watch, ...] = import_string(conf.WATCH)
    except ImportError as error:
        return [*messages, Error(f"REALTIME_WATCH: {error}", hint="Name a tuple of Watch.", id="realtime.E007")]
    # A real Flagsmith's models are not watched: it raises its environments' versions itself.
    return messages if conf.HOST == "flagsmith" else messages + _check_watched(table)


def _check_watched(table: tuple[Watch, ...]) -> list[CheckMessage]:
    """Which of the watched models the project lacks. It may well have no use for them."""
    return [
        checks.Info(
            f"There is no model {watch.model!r}, so no change of it is watched.",
            hint="That is as it should be, unless the project has such a model by another name: see REALTIME_WATCH.",
            id="realtime.I001",
        )
        for watch in table
        if not _is_model(watch.model)
    ]


def _is_model(label: str) -> bool:
    try:
        apps.get_model(label)
    except LookupError:
        return False
    return True


def _has_field(model: type[Model], path: str) -> bool:
    for name in path.split("__"):
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            return False
        model = field.related_model or model
    return True
