"""The relay's configuration, read in this process: wrong values are refused by their names."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from realtime.relay import configuration
from realtime.relay.configuration import Configuration

PAIR = {"server_side_key": "ser.shop", "client_side_key": "shop"}


def loaded(folder: Path, content: Any = None, **variables: str) -> Configuration:
    file = folder / "config.json"
    file.write_text(json.dumps({"environment_key_pairs": [PAIR]} | (content or {})))
    return configuration.load({"CONFIG_PATH": str(file), **variables})


@pytest.mark.parametrize(
    "name, content",
    [
        ("environment_key_pairs", {"environment_key_pairs": {}}),
        ("environment_key_pairs", {"environment_key_pairs": [PAIR, {**PAIR, "client_side_key": "other"}]}),
        ("environment_key_pairs[0]", {"environment_key_pairs": ["ser.shop"]}),
        ("client_side_key", {"environment_key_pairs": [{**PAIR, "client_side_key": "ser.other"}]}),
        ("server_side_key", {"environment_key_pairs": [{**PAIR, "server_side_key": "ser.käse"}]}),
        ("api_url", {"api_url": "http://flags.example.com:port"}),
        ("api_url", {"api_url": "http://one,http://one"}),
        ("api_poll_frequency_seconds", {"api_poll_frequency_seconds": 1.5}),
        ("api_poll_timeout_seconds", {"api_poll_timeout_seconds": True}),
        ("allow_origins", {"allow_origins": [7]}),
        ("endpoint_caches", {"endpoint_caches": True}),
        ("endpoint_caches.flags", {"endpoint_caches": {"flags": 7}}),
        ("endpoint_caches.flags.use_cache", {"endpoint_caches": {"flags": {"use_cache": "perhaps"}}}),
        ("endpoint_caches.identities.cache_max_size", {"endpoint_caches": {"identities": {"cache_max_size": "x"}}}),
        ("logging", {"logging": "INFO"}),
        ("logging.log_event_field_name", {"logging": {"log_event_field_name": ""}}),
        ("logging.override", {"logging": {"override": []}}),
        ("logging.enable_access_log", {"logging": {"enable_access_log": "perhaps"}}),
        ("server.host", {"server": {"host": "localhost"}}),
        ("server.port", {"server": {"port": 0}}),
    ],
)
def test_load__wrong_value__refused_with_its_name(tmp_path: Path, name: str, content: Any) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        loaded(tmp_path, content)

    assert name in str(refused.value)
    assert "ser." not in str(refused.value).replace("'ser.'", "").replace("ser.…", "")


def test_load__file_is_a_directory__refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="CONFIG_PATH") as refused:
        configuration.load({"CONFIG_PATH": str(tmp_path)})

    assert str(tmp_path) in str(refused.value)


def test_load__values_that_the_edge_proxy_documents__accepted(tmp_path: Path) -> None:
    content = {"allow_origins": "https://www.example.com", "endpoint_caches": None, "server": {"reload": True}}
    read = loaded(tmp_path, content, SERVER_PROXY_HEADERS="true", WEB_CONCURRENCY="2")

    assert read.allow_origins == ("https://www.example.com",)
    assert read.server.proxy_headers
    assert list(read.notices) == ["server.reload"]


@pytest.mark.parametrize(
    "value, proxies", [("", "127.0.0.1"), ("10.0.0.0/8", "10.0.0.0/8"), ("*", "0.0.0.0/0, ::/0, unix")]
)
def test_trusted_proxies__variable_of_uvicorn__as_addresses(value: str, proxies: str) -> None:
    assert configuration.trusted_proxies({"FORWARDED_ALLOW_IPS": value}) == proxies
