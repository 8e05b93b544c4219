"""System checks of the app's settings. Each message has an id and a hint."""

import math
import resource
from collections.abc import Iterable, Iterator
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

from realtime import bus, flagsmith, hosts
from realtime.changes.triggers import Watch
from realtime.conf import conf
from realtime.flagsmith import caches, visibility
from realtime.http import addresses
from realtime.serving import grip_url

MAX_SILENCE_SECONDS = 15

# Settings of a real Flagsmith, in seconds, and what it then caches. A change does not invalidate these caches.
FLAGSMITH_CACHES = {
    "ENVIRONMENT_CACHE_SECONDS": "the version (X-Flagsmith-Document-Updated-At)",
    "CACHE_FLAGS_SECONDS": "flags",
    "CACHE_PROJECT_SEGMENTS_SECONDS": "segments",
    "ENVIRONMENT_SEGMENTS_CACHE_SECONDS": "segments",
    "GET_FLAGS_ENDPOINT_CACHE_SECONDS": "flags",
    "GET_IDENTITIES_ENDPOINT_CACHE_SECONDS": "an identity's flags",
    "CACHE_ENVIRONMENT_DOCUMENT_SECONDS": "the environment document",
}

# Without a cache of environments, each "flags/" reads one from the database.
ENVIRONMENT_CACHE_HINTS = {
    "signals": (
        "In the settings module, set CACHES[ENVIRONMENT_CACHE_NAME]['BACKEND'] to"
        " 'realtime.flagsmith.caches.EnvironmentCache', which compares versions with the database."
    ),
    "follow": (
        "Leave it with one gunicorn worker, if SDKs may fetch once more after a reconnect. Otherwise set it to 0"
        " in all Flagsmith processes, after ANALYZE or with jit=off in PostgreSQL: flags/ may take seconds otherwise."
    ),
}

FLAGSMITH_MODES = {
    "signals": "REALTIME_FLAGSMITH is 'signals': changes are announced by Flagsmith's processes that have this app. "
    "All of them need it, the task processor too.",
    "follow": "REALTIME_FLAGSMITH is 'follow': changes are found in Flagsmith's table of environments.",
}


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check that all settings are valid and consistent, and that the models and apps they need exist."""
    return list(_check_values()) or list(_check_all())


def _check_values() -> Iterator[CheckMessage]:
    """Errors of settings that cannot be converted to their type."""
    for name in conf.names():
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            yield Error(str(error), hint="Correct or remove the setting.", id="realtime.E001")


def _check_all() -> Iterator[CheckMessage]:
    yield from _check_names()
    if not apps.is_installed("django_eventstream"):
        yield Error(
            "django-eventstream is not installed as an app.",
            hint="Add 'django_eventstream' to INSTALLED_APPS.",
            id="realtime.E002",
        )
    if conf.INSPECTION and not apps.is_installed("realtime.inspector"):
        yield Error(
            "REALTIME_INSPECTION is on, but the inspector is not installed as an app.",
            hint="Add 'realtime.inspector' to INSTALLED_APPS.",
            id="realtime.E013",
        )
    if conf.HOST not in hosts.HOSTS:
        yield Error(
            f"REALTIME_HOST: unknown value {conf.HOST!r}.",
            hint=f"Use one of {', '.join(hosts.HOSTS)}.",
            id="realtime.E003",
        )
    elif isinstance(hosts.current(), hosts.EmbeddedHost):
        yield from _check_models()
    if conf.HOST == "flagsmith":
        yield from _check_flagsmith()
        yield from _check_caches()
    yield from _check_times()
    yield from _check_limits()
    yield from _check_back_ends()
    yield from _check_grip()


def _check_names() -> Iterator[CheckMessage]:
    """Warn of unknown ``REALTIME_`` settings, most of which are misspelt."""
    names = {f"REALTIME_{name}" for name in conf.names()}
    for name in sorted(name for name in dir(settings) if name.startswith("REALTIME_") and name not in names):
        yield checks.Warning(
            f"{name} is not a known setting.",
            hint="".join(f"Did you mean {close}?" for close in get_close_matches(name, names, 1)) or None,
            id="realtime.W002",
        )


def _check_flagsmith() -> Iterator[CheckMessage]:
    """How changes of a real Flagsmith are announced, and what is missing for it."""
    if conf.FLAGSMITH not in FLAGSMITH_MODES:
        names = ", ".join(FLAGSMITH_MODES)
        yield Error(f"REALTIME_FLAGSMITH is {conf.FLAGSMITH!r}.", hint=f"It is one of {names}.", id="realtime.E014")
        return
    yield checks.Info(FLAGSMITH_MODES[conf.FLAGSMITH], id="realtime.I002")
    if conf.FLAGSMITH == "follow":
        return
    if not apps.is_installed(flagsmith.HISTORY):
        yield Error(
            f"{flagsmith.HISTORY} is not installed as an app, so no change can be announced.",
            hint="Use Flagsmith's settings, or set REALTIME_FLAGSMITH to 'follow'.",
            id="realtime.E015",
        )
    if bus.name() == "memory":
        yield checks.Warning(
            "There is no bus from Flagsmith's processes to serve_realtime: events come by the reconcile.",
            hint="Use PostgreSQL as the default database, or set EVENTSTREAM_REDIS.",
            id="realtime.W022",
        )


def _check_caches() -> Iterator[CheckMessage]:
    """Warn of caches of a real Flagsmith that are not invalidated by a change."""
    compares_versions = hosts.current().raises_in_flagsmith and caches.compares_versions()
    hints = {"ENVIRONMENT_CACHE_SECONDS": ENVIRONMENT_CACHE_HINTS.get(conf.FLAGSMITH)}
    for name, what in FLAGSMITH_CACHES.items():
        seconds = getattr(settings, name, 0)
        if seconds and not (compares_versions and name == "ENVIRONMENT_CACHE_SECONDS"):
            yield checks.Warning(
                f"{name} is {seconds}: for that time after an event, Flagsmith may return an older state of {what}.",
                hint=hints.get(name) or "Set it to 0 in all Flagsmith processes.",
                id="realtime.W020",
            )
    mode = getattr(settings, "CACHE_ENVIRONMENT_DOCUMENT_MODE", None)
    if getattr(mode, "name", mode) == "PERSISTENT":
        yield checks.Warning(
            "CACHE_ENVIRONMENT_DOCUMENT_MODE is PERSISTENT: Flagsmith writes the document after the version.",
            hint="Remove it, or use the drop-in server, to which Flagsmith posts after writing the document.",
            id="realtime.W021",
        )


def _check_times() -> Iterator[CheckMessage]:
    zero_allowed = ("REPEAT_SECONDS", "DRAIN_SECONDS", "SPREAD_SECONDS")
    positive = ("STREAM_SECONDS", "OFREP_STREAM_SECONDS", "KEEPALIVE_SECONDS", "RECONCILE_SECONDS", "WEDGED_SECONDS")
    for name in (*positive, *zero_allowed):
        seconds = getattr(conf, name)
        if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and name not in zero_allowed):
            yield Error(f"REALTIME_{name} cannot be {seconds}.", id="realtime.E006")
    if conf.KEEPALIVE_SECONDS > MAX_SILENCE_SECONDS:
        yield checks.Warning(
            f"REALTIME_KEEPALIVE_SECONDS is above {MAX_SILENCE_SECONDS}.",
            hint="Some SDKs and proxies close a stream that is silent for too long.",
            id="realtime.W001",
        )


def _check_limits() -> Iterator[CheckMessage]:
    for name in (name for name in conf.names() if name.startswith("MAX_")):
        limit = getattr(conf, name)
        if not math.isfinite(limit) or limit < 0:
            yield Error(f"REALTIME_{name} cannot be {limit}.", hint="0 means no limit.", id="realtime.E011")
    try:
        addresses.parse_trusted(conf.TRUSTED_PROXIES)
    except ValueError as error:
        yield Error(
            f"REALTIME_TRUSTED_PROXIES: {error}.",
            hint=f"List addresses and networks, such as 10.0.0.0/8, and {addresses.UNIX!r} for Unix sockets.",
            id="realtime.E012",
        )
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files <= conf.MAX_STREAMS:
        yield checks.Warning(
            f"REALTIME_MAX_STREAMS is {conf.MAX_STREAMS:,}, but a process may have only {files:,} open files.",
            hint="Each stream uses one. Raise the limit of open files (LimitNOFILE, ulimit -Hn).",
            id="realtime.W011",
        )


def _check_models() -> Iterator[CheckMessage]:
    try:
        environment = apps.get_model(conf.ENVIRONMENT_MODEL)
    except (LookupError, ValueError):
        yield Error(
            f"There is no model {conf.ENVIRONMENT_MODEL!r}.",
            hint="Set REALTIME_ENVIRONMENT_MODEL to the environment model, or REALTIME_HOST to 'detached'.",
            id="realtime.E004",
        )
        return
    for path in ("api_key", "updated_at", conf.GATE_FIELD, *([conf.PLAN_FIELD] if conf.PLANS else [])):
        if not _has_field(environment, path):
            yield Error(
                f"{conf.ENVIRONMENT_MODEL} has no field {path!r}.",
                hint="Set REALTIME_GATE_FIELD and REALTIME_PLAN_FIELD to the paths of the switch and of the plan.",
                id="realtime.E005",
            )
    try:
        table: tuple[Watch, ...] = import_string(conf.WATCH)
    except ImportError as error:
        hint = "Set it to the dotted path of a tuple of Watch."
        yield Error(f"REALTIME_WATCH: {error}", hint=hint, id="realtime.E007")
        return
    if conf.HOST != "flagsmith":
        yield from _check_watched(watch.model for watch in table)
    elif hosts.current().raises_in_flagsmith:
        yield from _check_watched(visibility.WATCHED)


def _check_watched(labels: Iterable[str]) -> Iterator[CheckMessage]:
    """Inform of watched models that the project does not have."""
    for label in labels:
        try:
            apps.get_model(label)
        except LookupError:
            yield checks.Info(
                f"There is no model {label!r}, so no change of it is watched.",
                hint="If the project has such a model under another name, set REALTIME_WATCH. Otherwise ignore this.",
                id="realtime.I001",
            )


def _has_field(model: type[Model], path: str) -> bool:
    for name in path.split("__"):
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            return False
        model = field.related_model or model
    return True


def _check_back_ends() -> Iterator[CheckMessage]:
    """Check that the chosen bus and the chosen store of posted versions can be used."""
    for setting, name, choices, check_id in (
        ("REALTIME_BUS", bus.name(), bus.BACK_ENDS, "realtime.E008"),
        ("REALTIME_STORE", conf.STORE, hosts.STORES, "realtime.E016"),
    ):
        problem, hint = "", ""
        if name not in choices:
            problem, hint = "is unknown", f"Use one of {', '.join(choices)}, or remove the setting."
        elif name == "redis" and not hasattr(settings, "EVENTSTREAM_REDIS"):
            problem, hint = "needs a Redis server", "Set REDIS_URL, or EVENTSTREAM_REDIS in a project of your own."
        elif name == "postgres" and connection.vendor != "postgresql":
            problem, hint = "needs PostgreSQL as the default database", "Remove REALTIME_BUS."
        if problem:
            yield Error(f"{setting} is {name!r}, which {problem}.", hint=hint, id=check_id)


def _check_grip() -> Iterator[CheckMessage]:
    """Check the GRIP proxy's URL, and that a process publishes to it."""
    if not conf.USES_GRIP:
        return
    problem, hint = grip_url.problem_of(getattr(settings, "GRIP_URL", "")), None
    if getattr(settings, "GRIP_PROXIES", None):
        problem, hint = "GRIP_URL and GRIP_PROXIES are set.", "Remove GRIP_PROXIES: its events are not published."
    elif conf.HOST == "flagsmith" and not hosts.current().raises_in_flagsmith:
        problem = "GRIP_URL is set, and with REALTIME_FLAGSMITH 'follow' no process publishes to the GRIP proxy."
        hint = "Remove GRIP_URL, or set REALTIME_FLAGSMITH to 'signals'."
    if problem:
        yield Error(problem, hint=hint, id="realtime.E017")
