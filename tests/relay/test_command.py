"""The relay's command line, apart from serving."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime.relay import command
from tests.support.patience import START
from tests.support.redis import Redis
from tests.support.relay import RelayServer
from tests.support.server import environ
from tests.support.upstream import Answer, Environment, Upstream, body, seconds

SHOP = json.dumps([{"server_side_key": "ser.shop", "client_side_key": "shop"}])

ENTRY = "import sys; from realtime.relay.entry import main; main()"


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``flagsmith-realtime`` with these arguments in the folder."""
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", ENTRY, *arguments],
        cwd=folder,
        env=environ(PYTHONPATH=root, **variables),
        capture_output=True,
        text=True,
        timeout=START,
    )


def test_render_config__no_file__written_and_usable(tmp_path: Path) -> None:
    done = run(tmp_path, "relay", "render-config")

    written = (tmp_path / "config.json").read_text()
    assert (done.returncode, done.stdout) == (0, written)
    assert json.loads(written)["environment_key_pairs"][0]["server_side_key"].startswith("ser.")
    # The file is valid, and the keys in it are not.
    check = run(tmp_path, "relay", "--check", HTTPS_PROXY="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1")
    assert check.returncode == 1
    assert check.stdout.startswith("environment-key: https://edge.api.flagsmith.com/api/v1: ConnectError")


@pytest.mark.slow
def test_render_config__file_exists__printed_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text("{}")
    done = run(tmp_path, "relay", "render-config", CONFIG_PATH=str(file))

    assert (done.returncode, file.read_text()) == (0, "{}")
    assert "was not changed" in done.stderr
    done = run(tmp_path, "relay", "render-config", CONFIG_PATH=str(tmp_path / "missing" / "config.json"))
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("answer", [404, body(b"<html>")], ids=["404", "page of the front end"])
def test_check__url_without_its_path__hint(tmp_path: Path, upstream: Upstream, answer: Answer) -> None:
    upstream.add_environment("shop").answer = answer
    done = run(tmp_path, "relay", "--check", ENVIRONMENT_KEY_PAIRS=SHOP, API_URL=upstream.url)

    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"shop: {upstream.url}: ")
    assert line.endswith("The URL probably needs /api/v1 at its end.")


@pytest.mark.slow
def test_check__document_can_be_used__says_so(tmp_path: Path, upstream: Upstream) -> None:
    upstream.add_environment("shop")
    done = run(tmp_path, "relay", "--check", ENVIRONMENT_KEY_PAIRS=SHOP, API_URL=upstream.api_url)

    assert (done.returncode, done.stdout) == (0, "shop: the document can be used\n")


def test_command__extra_missing__one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", os.environ["DJANGO_SETTINGS_MODULE"])
    monkeypatch.setattr(sys, "argv", ["flagsmith-realtime", "--check"])
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(
        SystemExit, match=r"relay: Not installed: httpx. Run: pip install 'flagsmith-realtime\[relay\]'"
    ):
        command.main()


@pytest.mark.slow
def test_command__redis_refuses__one_line_that_names_the_variable(tmp_path: Path, redis: Redis) -> None:
    url = redis.url.replace("/0", "/99")
    done = run(tmp_path, "relay", ENVIRONMENT_KEY_PAIRS="[]", REDIS_URL=url)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("flagsmith-realtime relay: REDIS_URL has a database number")


@pytest.mark.slow
def test_command__file_of_posted_versions_is_damaged__one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "posted-versions.sqlite3").write_bytes(b"damaged" * 1_000)
    done = run(tmp_path, "relay", ENVIRONMENT_KEY_PAIRS="[]", RELAY_STATE_DIR=str(tmp_path))

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "posted-versions.sqlite3" in line


@pytest.mark.slow
def test_command__default_directory_cannot_be_made__serves_from_a_temporary_one(
    start_relay: Callable[..., RelayServer], shop: Environment
) -> None:
    """Behind a proxy, with a setting that has no effect."""
    relay = start_relay(
        shop,
        configuration={"server": {"reload": True, "proxy_headers": True}},
        RELAY_STATE_DIR="",
        VAR_DIR="/proc",
        REALTIME_MAX_STREAMS_PER_ADDRESS="1",
    )
    assert relay.flags(shop)["banner"] == (False, "old")
    directory = json.loads(relay.process.wait_for_log("state_is_in_directory"))["directory"]
    assert Path(directory).is_relative_to(tempfile.gettempdir())
    assert "server.reload" in relay.process.wait_for_log("variable_has_no_effect")
    addresses = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in (1, 2, 1)]
    first, second, third = (relay.connect(shop, headers=headers) for headers in addresses)
    assert first.next_event().updated_at == second.next_event().updated_at == seconds(shop.version)
    assert b"this address has too many streams" in third.next_comment().data + third.next_comment().data
    for stream in (first, second, third):
        stream.close()
    shutil.rmtree(directory)


@pytest.mark.slow
def test_command__help__needs_no_configuration(tmp_path: Path) -> None:
    done = run(tmp_path, "relay", "serve", "--help")

    assert done.returncode == 0, done.stderr
    assert "--check" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables, message",
    [
        ({}, "environment_key_pairs must be set"),
        ({"ENVIRONMENT_KEY_PAIRS": "[]", "RELAY_STATE_DIR": "/proc/relay"}, "RELAY_STATE_DIR: /proc/relay cannot be"),
        ({"ENVIRONMENT_KEY_PAIRS": "[]", "WEB_CONCURRENCY": "none"}, "WEB_CONCURRENCY must be a whole number"),
        ({"ENVIRONMENT_KEY_PAIRS": "[]", "REDIS_URL": "other://"}, "REDIS_URL must be redis://"),
    ],
)
def test_command__wrong_variable__one_line(tmp_path: Path, variables: dict[str, str], message: str) -> None:
    done = run(tmp_path, "relay", **variables)

    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_command__without_relay__drop_in_server(tmp_path: Path) -> None:
    done = run(tmp_path, "serve")

    assert done.returncode == 1
    assert "SSE_AUTHENTICATION_TOKEN must be set" in done.stderr
