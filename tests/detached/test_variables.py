"""The variables of Flagsmith's own SSE server: each takes effect, or a log line at start has the reason why not."""

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured

from realtime.serving import redis_check, redis_urls, variables

Variables = Callable[..., None]

CA_FILE = requests.certs.where()


@pytest.fixture
def set_variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    """Sets these variables, and no others of Redis and of streams."""
    for name in list(os.environ):
        if name.startswith(("REDIS_", "REALTIME_", "DATABASE_")):
            monkeypatch.delenv(name)

    def set_variables(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_variables


def connection(**values: Any) -> dict[str, Any]:
    defaults = {"host": "localhost", "port": 6379, "username": None, "password": None}
    return {**defaults, **values}


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, {}),
        ({"REDIS_HOST": ""}, {}),
        ({"REDIS_USE_SSL": "False", "USE_CLUSTER_MODE": "False"}, {}),
        # Kubernetes sets it in each container, if there is a Service with the name "redis".
        ({"REDIS_PORT": "tcp://10.0.0.1:6379"}, {}),
        (
            {"REDIS_HOST": "::1", "REDIS_PORT": "tcp://10.0.0.1:6380"},
            {"EVENTSTREAM_REDIS": connection(host="::1")},
        ),
        ({"REDIS_HOST": "valkey"}, {"EVENTSTREAM_REDIS": connection(host="valkey")}),
        (
            {"REDIS_PORT": "6380", "REDIS_USERNAME": "u", "REDIS_PASSWORD": "p:@/"},
            {"EVENTSTREAM_REDIS": connection(port=6380, username="u", password="p:@/")},
        ),
        (
            {"REDIS_HOST": "r", "REDIS_USE_SSL": "True", "REDIS_CA_FILE": CA_FILE},
            {"EVENTSTREAM_REDIS": connection(host="r", ssl=True, ssl_ca_certs=CA_FILE)},
        ),
        (
            {"REDIS_HOST": "r", "USE_CLUSTER_MODE": "True"},
            {"EVENTSTREAM_REDIS": connection(host="r"), "REALTIME_REDIS_CLUSTER": True},
        ),
        (
            {"REDIS_URL": "redis+sentinel://u:p%40@one:1,two/main/3", "REDIS_HOST": "other"},
            {
                "EVENTSTREAM_REDIS": connection(host="one", username="u", password="p@", db=3),
                "REALTIME_REDIS_SENTINELS": "one:1,two",
                "REALTIME_REDIS_SERVICE": "main",
            },
        ),
    ],
)
def test_redis_settings__flagsmiths_variables__become_settings(
    set_variables: Variables, given: dict[str, str], expected: dict[str, Any]
) -> None:
    set_variables(**given)
    assert variables.redis_settings() == expected


@pytest.mark.parametrize(
    "name, given",
    [
        ("REDIS_PORT", {"REDIS_HOST": "r", "REDIS_PORT": "six"}),
        ("REDIS_USE_SSL", {"REDIS_HOST": "r", "REDIS_USE_SSL": "maybe"}),
        ("USE_CLUSTER_MODE", {"REDIS_HOST": "r", "USE_CLUSTER_MODE": "2"}),
        ("USE_CLUSTER_MODE", {"REDIS_URL": "redis://r/1", "USE_CLUSTER_MODE": "true"}),
        ("USE_CLUSTER_MODE", {"REDIS_URL": "redis+sentinel://r/main", "USE_CLUSTER_MODE": "true"}),
        ("REDIS_PORT", {"REDIS_HOST": "r", "REDIS_PORT": "99999"}),
        ("REDIS_HOST", {"REDIS_HOST": "redis://r"}),
        ("REDIS_HOST", {"REDIS_HOST": "r:6379"}),
        ("REDIS_CA_FILE", {"REDIS_HOST": "r", "REDIS_CA_FILE": CA_FILE}),
        ("REDIS_CA_FILE", {"REDIS_HOST": "r", "REDIS_USE_SSL": "true", "REDIS_CA_FILE": "/missing.pem"}),
        ("REDIS_CA_FILE", {"REDIS_HOST": "r", "REDIS_USE_SSL": "true", "REDIS_CA_FILE": __file__}),
        ("REDIS_URL", {"REDIS_URL": "redis+sentinel://one"}),
        ("REDIS_URL", {"REDIS_URL": "http://one"}),
        ("REDIS_URL", {"REDIS_URL": "redis://one?timeout=2"}),
        ("REDIS_URL", {"REDIS_URL": "rediss://one?ssl_ca_certs=/missing.pem"}),
        ("REDIS_URL", {"REDIS_URL": "rediss://one?ssl_certfile=/missing.pem"}),
    ],
)
def test_redis_settings__wrong_value__error_names_the_variable(
    set_variables: Variables, name: str, given: dict[str, str]
) -> None:
    set_variables(**given)
    with pytest.raises(ImproperlyConfigured, match=name):
        variables.redis_settings()


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, {}),
        ({"MAX_STREAM_AGE": "30"}, {"REALTIME_STREAM_SECONDS": 30.0}),
        ({"MAX_STREAM_AGE": "-1"}, {"REALTIME_STREAM_SECONDS": variables.ENDLESS_SECONDS}),
        ({"CACHE_UPDATE_INTERVAL_SECONDS": "0.5"}, {"REALTIME_RECONCILE_SECONDS": 0.5}),
        ({"MAX_STREAM_AGE": "30", "REALTIME_STREAM_SECONDS": "60"}, {}),
    ],
)
def test_stream_settings__flagsmiths_variables__become_settings(
    set_variables: Variables, given: dict[str, str], expected: dict[str, float]
) -> None:
    set_variables(**given)
    assert variables.stream_settings() == expected


@pytest.mark.parametrize("name", ["MAX_STREAM_AGE", "CACHE_UPDATE_INTERVAL_SECONDS"])
@pytest.mark.parametrize("value", ["0", "soon"])
def test_stream_settings__wrong_value__error_names_the_variable(
    set_variables: Variables, name: str, value: str
) -> None:
    set_variables(**{name: value})
    with pytest.raises(ImproperlyConfigured, match=name):
        variables.stream_settings()


def test_notices__variables_without_effect__each_has_its_reason(set_variables: Variables) -> None:
    set_variables(REDIS_SCAN_COUNT="500", STREAM_DELAY="1", USE_CLUSTER_MODE="false")
    assert list(variables.notices()) == ["REDIS_SCAN_COUNT", "STREAM_DELAY", "USE_CLUSTER_MODE"]
    set_variables(REDIS_PORT="tcp://10.0.0.1:6379")
    assert "Kubernetes" in variables.notices()["REDIS_PORT"]
    set_variables(REDIS_URL="redis://r", REDIS_HOST="r", MAX_STREAM_AGE="30", REALTIME_STREAM_SECONDS="60")
    notices = variables.notices()
    assert notices["REDIS_HOST"] == "REDIS_URL is set"
    assert notices["MAX_STREAM_AGE"] == "REALTIME_STREAM_SECONDS is set"
    assert "USE_CLUSTER_MODE" not in notices


def test_redis_check__redis_answers_without_tls__names_the_variable(set_variables: Variables, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads, ExitStack() as stack:

        def answer() -> None:
            connection, _ = server.accept()
            stack.enter_context(connection)
            connection.sendall(b"-ERR unknown command\r\n")

        answered = threads.submit(answer)
        url = f"rediss://127.0.0.1:{server.getsockname()[1]}"
        set_variables(REDIS_URL=url)
        settings.EVENTSTREAM_REDIS = redis_urls.arguments(url)
        problem = redis_check.problem()
        answered.result()

    assert problem is not None
    assert problem.startswith("Redis does not answer with TLS: use redis:// in REDIS_URL")
