"""Conversion of settings, and system checks of invalid settings."""

import re

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from realtime.conf import RealtimeSettings, conf
from realtime.hosts import plan_allows
from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "settings.md").read_text()


def ids() -> list[str | None]:
    return [message.id for message in run_checks() if (message.id or "").startswith("realtime.")]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("STREAM_SECONDS", "12.5", 12.5),
        ("PLANS", "enterprise, scale-up", ("enterprise", "scale-up")),
        ("PLANS", "", ()),
        # A list in the project's settings.
        ("TRUSTED_PROXIES", ["10.0.0.0/8", "unix"], ("10.0.0.0/8", "unix")),
        ("ANNOUNCE_IDENTITY_OVERRIDES", "Yes", True),
        ("ANNOUNCE_IDENTITY_OVERRIDES", "0", False),
        ("HOST", "detached", "detached"),
        ("MAX_STREAMS", "1e3", 1000),
        ("INSPECTION", "", None),
        ("INSPECTION", "no", False),
        # From an environment variable that is not set.
        ("METRICS_TOKEN", None, ""),
    ],
)
def test_setting__string_or_list__converted_to_its_type(
    settings: object, name: str, text: object, value: object
) -> None:
    setattr(settings, f"REALTIME_{name}", text)
    assert getattr(conf, name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("STREAM_SECONDS", "long"),
        ("ANNOUNCE_IDENTITY_OVERRIDES", "maybe"),
        ("INSPECTION", "maybe"),
        ("MAX_STREAMS", "2.5"),
        ("MAX_STREAMS", "inf"),
        ("BUS", 5),
        ("PLANS", 5),
    ],
)
def test_setting__invalid_value__error_names_the_setting(settings: object, name: str, text: object) -> None:
    setattr(settings, f"REALTIME_{name}", text)
    with pytest.raises(ImproperlyConfigured, match=f"REALTIME_{name}"):
        getattr(conf, name)
    assert ids() == ["realtime.E001"]


def test_setting__unknown_name__attribute_error() -> None:
    with pytest.raises(AttributeError, match="NOPE"):
        _ = conf.NOPE  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", RealtimeSettings.names())
def test_setting__documentation__has_its_default(name: str) -> None:
    documented = re.search(rf"^\| `REALTIME_{name}` \| (.*?) \|", PAGE, re.MULTILINE)
    default = getattr(RealtimeSettings, name).default
    assert documented is not None
    text = documented[1].strip("`")
    if isinstance(default, bool):
        assert text == str(default).lower()
    elif isinstance(default, int | float):
        assert float(text) == default
    elif default:
        assert text == default


def test_checks__detached__needs_no_models(settings: object) -> None:
    settings.REALTIME_HOST, settings.REALTIME_ENVIRONMENT_MODEL = "detached", "no.Model"  # type: ignore[attr-defined]
    assert ids() == []


def test_checks__inspection_on_and_inspector_not_installed__error(settings: object) -> None:
    without = [app for app in settings.INSTALLED_APPS if app != "realtime.inspector"]  # type: ignore[attr-defined]
    with override_settings(INSTALLED_APPS=without, REALTIME_INSPECTION="true"):
        assert ids() == ["realtime.E013"]
    with override_settings(INSTALLED_APPS=without, REALTIME_INSPECTION=""):
        assert ids() == []


def test_checks__drain_and_repeat_seconds_zero__no_message(settings: object) -> None:
    settings.REALTIME_DRAIN_SECONDS = settings.REALTIME_REPEAT_SECONDS = 0  # type: ignore[attr-defined]
    assert ids() == []


def test_checks__default_settings__no_message() -> None:
    assert ids() == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("REALTIME_HOST", "elsewhere", "realtime.E003"),
        ("REALTIME_ENVIRONMENT_MODEL", "environments.Planet", "realtime.E004"),
        ("REALTIME_GATE_FIELD", "project__enable_everything", "realtime.E005"),
        ("REALTIME_STREAM_SECONDS", 0, "realtime.E006"),
        ("REALTIME_KEEPALIVE_SECONDS", float("nan"), "realtime.E006"),
        ("REALTIME_DRAIN_SECONDS", -1, "realtime.E006"),
        ("REALTIME_REPEAT_SECONDS", float("inf"), "realtime.E006"),
        ("REALTIME_KEEPALIVE_SECONDS", 60, "realtime.W001"),
        ("REALTIME_WATCH", "realtime.changes.triggers.NOTHING_THERE", "realtime.E007"),
        ("REALTIME_MAX_STREAMS_PER_ADDRESS", -1, "realtime.E011"),
        ("REALTIME_MAX_NEW_STREAMS_PER_SECOND", float("inf"), "realtime.E011"),
        ("REALTIME_TRUSTED_PROXIES", "10.0.0.0/8,nginx", "realtime.E012"),
        ("REALTIME_MAX_STREAMS", 1e12, "realtime.W011"),
        ("REALTIME_STREAM_SECOND", 3, "realtime.W002"),
        ("REALTIME_STORE", "pigeon", "realtime.E016"),
        ("REALTIME_STORE", "redis", "realtime.E016"),
    ],
)
def test_checks__invalid_setting__its_message(settings: object, name: str, value: object, expected: str) -> None:
    setattr(settings, name, value)
    assert expected in ids()


def test_checks__django_eventstream_not_installed__error(settings: object) -> None:
    installed = [app for app in settings.INSTALLED_APPS if app != "django_eventstream"]  # type: ignore[attr-defined]
    settings.INSTALLED_APPS = installed  # type: ignore[attr-defined]
    assert "realtime.E002" in ids()


@pytest.mark.parametrize(
    ("plans", "plan", "allowed"),
    [
        ("", None, True),
        ("", "free", True),
        ("enterprise", "enterprise-2024", True),
        ("enterprise", "free", False),
        ("enterprise", None, False),
        ("startup,enterprise", "startup", True),
    ],
)
def test_plan_allows__some_plans_listed__only_those(settings: object, plans: str, plan: str, allowed: bool) -> None:
    settings.REALTIME_PLANS = plans  # type: ignore[attr-defined]
    assert plan_allows(plan) is allowed
