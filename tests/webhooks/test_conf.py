"""Settings, and what depends on them alone."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils import timezone

from webhooks.checks import check_settings
from webhooks.conf import conf
from webhooks.delivery import next_attempt


@pytest.mark.parametrize(
    "name, value",
    [
        ("ALLOWED_NETWORKS", "10.0.0.0/8,nonsense"),
        ("ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("TIMEOUT_SECONDS", "soon"),
        ("TIMEOUT_SECONDS", "0"),
        ("TIMEOUT_SECONDS", "inf"),
        ("ATTEMPTS", "0"),
        ("ATTEMPTS", "1.5"),
        ("BACKOFF_SECONDS", "-1"),
        ("KEEP_DAYS", "nan"),
    ],
)
def test_setting__malformed__said_at_start_by_name(name: str, value: str) -> None:
    with override_settings(**{f"WEBHOOKS_{name}": value}):
        (message,) = check_settings()
        assert message.id == "webhooks.E001"
        assert message.msg.startswith(f"WEBHOOKS_{name} cannot be '{value}'")
        with pytest.raises(ImproperlyConfigured):
            getattr(conf, name)


def test_settings__as_environment_variables_have_them__read(tmp_path: Path) -> None:
    with override_settings(WEBHOOKS_ALLOWED_NETWORKS=" 10.0.0.0/8 , fd00::/8,", WEBHOOKS_ATTEMPTS="3"):
        assert [str(network) for network in conf.ALLOWED_NETWORKS] == ["10.0.0.0/8", "fd00::/8"]
        assert conf.ATTEMPTS == 3
        assert check_settings() == []
    with pytest.raises(AttributeError):
        _ = conf.NO_SUCH
    with override_settings(WEBHOOKS_CA_FILE=str(tmp_path / "missing.pem")):
        assert [message.id for message in check_settings()] == ["webhooks.E002"]


@override_settings(WEBHOOKS_BACKOFF_SECONDS="10")
def test_backoff__attempt_after_attempt__longer_with_some_chance_and_no_more_than_an_hour() -> None:
    now = timezone.now()
    for attempts, seconds in ((1, 10), (2, 20), (5, 160), (50, 3_600)):
        waits = {(next_attempt(attempts, now) - now).total_seconds() for _ in range(20)}
        assert all(seconds / 2 <= wait <= seconds for wait in waits)
        assert len(waits) > 10
