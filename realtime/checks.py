"""What is wrong with the configuration, said at start with an id and a hint."""

import math
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Model
from django.utils.module_loading import import_string

from realtime.conf import conf

HOSTS = ("embedded", "detached")

MAX_SILENCE_SECONDS = 15


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Every setting can be read, and the app finds what it names."""
    messages: list[CheckMessage] = []
    for name in conf.DEFAULTS:
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            messages.append(Error(str(error), hint="Set it right or leave it out.", id="realtime.E001"))
    if messages:
        return messages
    if not apps.is_installed("django_eventstream"):
        messages.append(
            Error(
                "django-eventstream is not installed as an app.",
                hint="Add 'django_eventstream' to INSTALLED_APPS.",
                id="realtime.E002",
            )
        )
    if conf.HOST not in HOSTS:
        messages.append(
            Error(
                f"REALTIME_HOST is {conf.HOST!r}.",
                hint=f"It is one of {', '.join(HOSTS)}.",
                id="realtime.E003",
            )
        )
    elif conf.HOST == "embedded":
        messages += _check_models()
    return messages + _check_times()


def _check_times() -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    may_be_zeros = ("REPEAT_SECONDS", "DRAIN_SECONDS", "SPREAD_SECONDS")
    for name in ("STREAM_SECONDS", "KEEPALIVE_SECONDS", "RECONCILE_SECONDS", *may_be_zeros):
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
        import_string(conf.WATCH)
    except ImportError as error:
        messages.append(Error(f"REALTIME_WATCH: {error}", hint="Name a tuple of Watch.", id="realtime.E007"))
    return messages


def _has_field(model: type[Model], path: str) -> bool:
    for name in path.split("__"):
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            return False
        model = field.related_model or model
    return True
