"""Database settings from a URL."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from realtime.serving import databases


def test_from_url__postgresql__a_vanished_machine_is_detected_within_seconds() -> None:
    options = databases.from_url("postgres://user:password@host/name", 20)["OPTIONS"]
    assert options["pool"]["max_size"] == 20
    assert options["connect_timeout"] <= 10
    assert options["tcp_user_timeout"] <= 20_000
    assert options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"] <= 20


def test_from_url__options_in_the_url__take_precedence() -> None:
    options = databases.from_url("postgres://host/name?connect_timeout=60", 20)["OPTIONS"]
    assert str(options["connect_timeout"]) == "60"


def test_from_url__sqlite__no_tcp_options() -> None:
    assert "tcp_user_timeout" not in databases.from_url("sqlite:////tmp/db.sqlite3", 20)["OPTIONS"]


@pytest.mark.parametrize(
    "url", ["host/name", "mysql://u:5ecret@host/name", "postgres://u:5ecret@host:port/name", "postgres://u:5ecret@host"]
)
def test_from_url__unsupported_url__error_names_the_format_and_no_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL must be postgres://") as raised:
        databases.from_url(url, 20)
    assert "5ecret" not in str(raised.value)
