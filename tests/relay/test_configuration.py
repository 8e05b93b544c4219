"""The configuration: an Edge Proxy's file and variables as they are, and wrong values, which end the start."""

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ports, programs
from tests.support.patience import PATIENCE
from tests.support.processes import Process
from tests.support.relay import TOKEN, RelayServer, pairs
from tests.support.server import environ
from tests.support.upstream import DOCUMENT, Environment, Upstream, held, redirect

StartRelay = Callable[..., RelayServer]

PAIR = {"server_side_key": "ser.shop", "client_side_key": "shop"}

# All settings of the Edge Proxy 2.23, and some that it ignores.
FULL = {
    "environment_key_pairs": [PAIR],
    "api_poll_frequency_seconds": 86_400,
    "api_poll_timeout_seconds": 5,
    "endpoint_caches": {"flags": {"use_cache": False}, "identities": {"use_cache": True, "cache_max_size": 1000}},
    "allow_origins": ["*"],
    "logging": {
        "enable_access_log": False,
        "log_format": "generic",
        "log_level": "INFO",
        "log_event_field_name": "message",
        "colours": False,
        "override": {},
        "unknown": 1,
    },
    "server": {"reload": False, "proxy_headers": False, "timeout_keep_alive": 5},
    "health_check": {"environment_update_grace_period_seconds": 30},
    "unknown": {"setting": 1},
}


def run(folder: Path, *arguments: str, configuration: Any = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the relay's command with this file, and return its output."""
    file = folder / "config.json"
    if configuration is not None:
        file.write_text(configuration if isinstance(configuration, str) else json.dumps(configuration))
    return subprocess.run(
        [sys.executable, "-m", "realtime.relay", *arguments],
        cwd=programs.ROOT,
        env=environ(**{"CONFIG_PATH": str(file), "RELAY_STATE_DIR": str(folder / "state"), **variables}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.slow
def test_file__every_setting_of_the_edge_proxy__serves(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, configuration=FULL)
    assert relay.flags(shop)["banner"] == (False, "old")


@pytest.mark.slow
def test_file__older_names__take_effect(start_relay: StartRelay, upstream: Upstream, shop: Environment) -> None:
    older = {"api_poll_frequency": 1, "api_poll_timeout": 1, "logging": {"colors": False, "log_format": "json"}}
    relay = start_relay(shop)
    relay.stop()
    del relay.configuration["api_poll_frequency_seconds"]
    relay.write(**older)
    relay.start()

    first = len(upstream.wait_for(DOCUMENT, 3))
    shop.answer = held(shop)
    upstream.wait_for(DOCUMENT, first + 2)
    relay.process.wait_for_log("error_fetching_document")


class RelayInFolder(RelayServer):
    """A relay whose file has the default name, in its current directory."""

    def launch(self) -> None:
        own = environ(**{**self.variables, "PYTHONPATH": str(programs.ROOT)})
        del own["CONFIG_PATH"]
        self._process = Process(self._command(), environ=own, cwd=self.file.parent)


@pytest.mark.slow
def test_file__no_config_path__config_json_of_the_current_directory(
    tmp_path: Path, upstream: Upstream, shop: Environment
) -> None:
    with RelayInFolder(tmp_path, upstream.api_url, shop) as relay:
        assert relay.flags(shop)["banner"] == (False, "old")


def test_variables__beside_a_file__win_and_merge(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    """Names are case-insensitive, and structured values are JSON, of which parts may be set."""
    file = {
        "api_url": "http://127.0.0.1:1/api/v1",
        "environment_key_pairs": [],
        "logging": {"log_format": "json", "log_level": "ERROR", "log_event_field_name": "event_name"},
    }
    relay = start_relay(
        configuration=file,
        api_url=f"{upstream.api_url}/",
        ENVIRONMENT_KEY_PAIRS=json.dumps([PAIR]),
        LOGGING='{"log_level": "INFO"}',
    )

    assert relay.flags(shop)["banner"] == (False, "old")
    lines = [json.loads(line) for line in relay.log.splitlines() if line.startswith("{")]
    assert lines
    assert all("event_name" in line for line in lines)
    assert upstream.received(DOCUMENT)[0].path == "/api/v1/environment-document/"


@pytest.mark.slow
def test_variables__without_a_file__are_enough(start_relay: StartRelay, upstream: Upstream, shop: Environment) -> None:
    relay = start_relay(shop)
    relay.stop()
    relay.file.unlink()
    for name, value in relay.configuration.items():
        relay.variables[name.upper()] = value if isinstance(value, str) else json.dumps(value)
    relay.start()
    assert relay.flags(shop)["banner"] == (False, "old")


WRONG = [
    ("environment_key_pairs", None, {}),
    ("environment_key_pairs", "ser.shop", {}),
    ("server_side_key", [{"server_side_key": "456", "client_side_key": "shop"}], {}),
    ("server_side_key", [{"server_side_key": "", "client_side_key": "shop"}], {}),
    ("server_side_key", [{"client_side_key": "shop"}], {}),
    ("client_side_key", [{"server_side_key": "ser.shop", "client_side_key": " "}], {}),
    ("api_url", [PAIR], {"api_url": "flagsmith.example.com"}),
    ("api_url", [PAIR], {"api_url": "http://127.0.0.1:1/api/v1,flagsmith.example.com"}),
    ("api_url", [PAIR], {"api_url": "http://one/api/v1,http://two/api/v1,http://three/api/v1"}),
    ("api_url", [PAIR], {"api_url": ["http://127.0.0.1:1/api/v1"]}),
    ("api_poll_frequency_seconds", [PAIR], {"api_poll_frequency_seconds": "often"}),
    ("api_poll_timeout_seconds", [PAIR], {"api_poll_timeout_seconds": 0}),
    ("timeout_keep_alive", [PAIR], {"server": {"timeout_keep_alive": 0}}),
    ("port", [PAIR], {"server": {"port": 70_000}}),
    ("log_level", [PAIR], {"logging": {"log_level": "LOUD"}}),
    (
        "environment_update_grace_period_seconds",
        [PAIR],
        {"health_check": {"environment_update_grace_period_seconds": "x"}},
    ),
]


def assert_one_line(done: subprocess.CompletedProcess[str], name: str) -> None:
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("flagsmith-realtime relay: ")
    assert name in line


def test_file__wrong_value__one_line_with_its_name(tmp_path: Path) -> None:
    pairs = [{"server_side_key": "456", "client_side_key": "shop"}]
    assert_one_line(run(tmp_path, configuration={"environment_key_pairs": pairs}), "server_side_key")


@pytest.mark.slow
@pytest.mark.parametrize("name, pairs, others", WRONG)
def test_file__wrong_value__one_line_with_its_name_each(
    tmp_path: Path, name: str, pairs: Any, others: dict[str, Any]
) -> None:
    own = {} if pairs is None else {"environment_key_pairs": pairs}
    assert_one_line(run(tmp_path, configuration={**own, **others}), name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, variables",
    [
        ("ENVIRONMENT_KEY_PAIRS", {"ENVIRONMENT_KEY_PAIRS": "ser.shop"}),
        ("RELAY_STREAMING", {"RELAY_STREAMING": "sometimes"}),
        ("RELAY_TRAITS", {"RELAY_TRAITS": "keep"}),
        ("UPSTREAM_REALTIME_URL", {"UPSTREAM_REALTIME_URL": "realtime.example.com"}),
        ("UPSTREAM_REALTIME_URL", {"UPSTREAM_REALTIME_URL": "http://one,http://one"}),
        ("REDIS_URL", {"REDIS_URL": "http://one"}),
        ("RELAY_STATE_DIR", {"RELAY_STATE_DIR": "/proc/nowhere"}),
    ],
)
def test_variables__wrong_value__one_line_with_its_name(tmp_path: Path, name: str, variables: dict[str, str]) -> None:
    assert_one_line(run(tmp_path, configuration=FULL, **variables), name)


@pytest.mark.slow
@pytest.mark.parametrize("content", ["{", "[]", "7"])
def test_file__no_json_object__one_line_with_its_path(tmp_path: Path, content: str) -> None:
    assert_one_line(run(tmp_path, configuration=content), str(tmp_path / "config.json"))


def test_check__upstream_accepts_the_keys__status_0(tmp_path: Path, upstream: Upstream, shop: Environment) -> None:
    done = run(tmp_path, "--check", configuration={**FULL, "api_url": upstream.api_url})

    assert done.returncode == 0, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
    assert len(upstream.received(DOCUMENT)) == 1
    assert "ser.shop" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 403, 500])
def test_check__upstream_refuses_a_key__status_1_and_the_reason(
    tmp_path: Path, upstream: Upstream, shop: Environment, status: int
) -> None:
    blog = upstream.add_environment("blog")
    blog.answer = status
    file = {**FULL, "api_url": upstream.api_url, "environment_key_pairs": pairs(shop, blog)}
    done = run(tmp_path, "--check", configuration=file)

    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "blog" in line]
    assert str(status) in line
    assert "ser.blog" not in done.stdout + done.stderr


@pytest.mark.slow
def test_check__upstream_away_or_value_wrong__status_1(tmp_path: Path, upstream: Upstream, shop: Environment) -> None:
    # Each of two URLs is tried.
    away = f"http://127.0.0.1:{ports.free_port()}/api/v1"
    done = run(tmp_path, "--check", configuration={**FULL, "api_url": f"{upstream.api_url},{away}"})
    assert done.returncode == 1
    assert f"shop: {away}: " in done.stdout
    assert_one_line(run(tmp_path, "--check", configuration={"environment_key_pairs": 7}), "environment_key_pairs")


@pytest.mark.slow
@pytest.mark.parametrize("origins", [["https://one.example", "https://two.example"], "https://two.example"])
def test_cors__listed_origins__others_cannot_read(
    start_relay: StartRelay, shop: Environment, origins: list[str] | str
) -> None:
    """The Edge Proxy's documentation has a text, its code a list."""
    relay = start_relay(shop, configuration={"allow_origins": origins})

    def allowed(origin: str, method: str = "GET") -> str | None:
        asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        answer = relay.request(method, "flags/", shop.key, headers=asked)
        return answer.headers.get("Access-Control-Allow-Origin")

    for method in ("GET", "OPTIONS"):
        assert allowed("https://two.example", method) == "https://two.example"
        assert allowed("https://three.example", method) is None
    assert (
        "origin"
        in relay.request("GET", "flags/", shop.key, headers={"Origin": "https://two.example"}).headers["Vary"].lower()
    )


@pytest.mark.slow
def test_logging__json_with_access_log__fields_of_the_edge_proxy(start_relay: StartRelay, shop: Environment) -> None:
    logging = {"log_format": "json", "enable_access_log": True, "log_event_field_name": "event", "log_level": "DEBUG"}
    relay = start_relay(shop, configuration={"logging": logging})

    relay.flags(shop)

    line = json.loads(relay.process.wait_for_log("/api/v1/flags/"))
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/v1/flags/", 200)
    assert line["remote_ip"].startswith("127.0.0.1")
    assert {"event", "logger", "level", "timestamp"} <= set(line)


@pytest.mark.slow
def test_logging__override__handlers_and_loggers_of_the_file(
    start_relay: StartRelay, shop: Environment, tmp_path: Path
) -> None:
    log = tmp_path / "relay.log"
    file = {"level": "INFO", "class": "logging.FileHandler", "filename": str(log), "formatter": "json"}
    override = {"handlers": {"file": file}, "loggers": {"": {"handlers": ["file"], "level": "INFO"}}}
    start_relay(shop, configuration={"logging": {"override": override}})

    lines = log.read_text().splitlines()
    assert lines
    assert all("message" in json.loads(line) for line in lines)


@pytest.mark.slow
def test_server__keep_alive_timeout__idle_connection_ends(start_relay: StartRelay, shop: Environment) -> None:
    relay = start_relay(shop, configuration={"server": {"timeout_keep_alive": 1}})
    with socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET /api/v1/flags/ HTTP/1.1\r\nHost: a\r\nX-Environment-Key: {shop.key}\r\n\r\n".encode())
        while connection.recv(65_536):
            pass


@pytest.mark.slow
def test_workers__web_concurrency__all_serve_and_stream(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, WEB_CONCURRENCY="2")
    streams = [relay.connect(shop) for _ in range(8)]
    known = [stream.next_event().updated_at for stream in streams]

    shop.change(banner=(True, "new"))
    assert relay.post(shop) == 202

    for stream, before in zip(streams, known, strict=True):
        stream.event_after(before)
        assert relay.flags(shop)["banner"] == (True, "new")
        stream.close()


@pytest.mark.slow
def test_upstream__redirects__are_followed(start_relay: StartRelay, upstream: Upstream, shop: Environment) -> None:
    shop.answers.append(redirect(f"{upstream.url}/elsewhere/{DOCUMENT}"))
    relay = start_relay(shop)

    assert relay.flags(shop)["banner"] == (False, "old")
    assert [each.path for each in upstream.received(DOCUMENT)] == [f"/api/v1/{DOCUMENT}", f"/elsewhere/{DOCUMENT}"]


@pytest.mark.slow
def test_upstream__http_proxy__is_used(start_relay: StartRelay, upstream: Upstream, shop: Environment) -> None:
    relay = start_relay(
        shop, configuration={"api_url": "http://flagsmith.invalid/api/v1"}, HTTP_PROXY=upstream.url, NO_PROXY=""
    )
    assert relay.flags(shop)["banner"] == (False, "old")


@pytest.mark.slow
def test_upstream__certificate_of_a_private_authority__is_accepted(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=upstream", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", *kind, "-keyout", str(key), "-out", str(certificate), *names]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with Upstream(tls) as upstream:
        shop = upstream.add_environment("shop")
        with RelayServer(tmp_path, upstream.api_url, shop, SSL_CERT_FILE=str(certificate)) as relay:
            assert relay.flags(shop)["banner"] == (False, "old")


@pytest.mark.slow
def test_posts__without_a_token_configured__are_refused(start_relay: StartRelay, shop: Environment) -> None:
    relay = start_relay(shop, SSE_AUTHENTICATION_TOKEN="")

    assert relay.post(shop, token=TOKEN) == 404
    assert relay.post(shop, token="") == 404
    assert relay.flags(shop)["banner"] == (False, "old")
