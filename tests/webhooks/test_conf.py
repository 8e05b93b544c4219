"""Settings of webhooks."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils import timezone

from webhooks.checks import check_settings
from webhooks.conf import conf
from webhooks.delivery import next_attempt

NETWORKS = "networks in CIDR notation, separated by commas"
ABOVE_ZERO = "a number above 0"
ATTEMPTS = "a whole number from 1 to 50"


@pytest.mark.parametrize(
    "name, value, kind",
    [
        ("ALLOWED_NETWORKS", "10.0.0.0/8,nonsense", NETWORKS),
        ("ALLOWED_NETWORKS", "10.0.0.1/8", NETWORKS),
        ("TIMEOUT_SECONDS", "soon", ABOVE_ZERO),
        ("TIMEOUT_SECONDS", "0", ABOVE_ZERO),
        ("TIMEOUT_SECONDS", "inf", ABOVE_ZERO),
        ("ATTEMPTS", "0", ATTEMPTS),
        ("ATTEMPTS", "1.5", ATTEMPTS),
        ("BACKOFF_SECONDS", "-1", ABOVE_ZERO),
        ("KEEP_DAYS", "nan", ABOVE_ZERO),
    ],
)
def test_setting__invalid__system_check_names_it(name: str, value: str, kind: str) -> None:
    with override_settings(**{f"WEBHOOKS_{name}": value}):
        (message,) = check_settings()
        assert (message.id, message.msg) == ("webhooks.E001", f"WEBHOOKS_{name} must be {kind}, not '{value}'.")
        with pytest.raises(ImproperlyConfigured):
            getattr(conf, name)


def test_settings__text_of_environment_variables__converted(tmp_path: Path) -> None:
    with override_settings(WEBHOOKS_ALLOWED_NETWORKS=" 10.0.0.0/8 , fd00::/8,", WEBHOOKS_ATTEMPTS="3"):
        assert [str(network) for network in conf.ALLOWED_NETWORKS] == ["10.0.0.0/8", "fd00::/8"]
        assert conf.ATTEMPTS == 3
        assert check_settings() == []
    with override_settings(WEBHOOKS_CA_FILE=str(tmp_path / "missing.pem")):
        assert [message.id for message in check_settings()] == ["webhooks.E002"]


@override_settings(WEBHOOKS_BACKOFF_SECONDS="10")
def test_backoff__more_attempts__doubles_up_to_an_hour_less_a_random_part() -> None:
    now = timezone.now()
    for attempts, seconds in ((1, 10), (2, 20), (5, 160), (50, 3_600)):
        waits = {(next_attempt(attempts, now) - now).total_seconds() for _ in range(20)}
        assert all(seconds / 2 <= wait <= seconds for wait in waits)
        assert len(waits) > 10
