"""The relay's command line, apart from serving."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import START
from tests.support.server import environ
from tests.support.upstream import Answer, Upstream, body

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
    key_pairs = json.dumps([{"server_side_key": "ser.shop", "client_side_key": "shop"}])
    done = run(tmp_path, "relay", "--check", ENVIRONMENT_KEY_PAIRS=key_pairs, API_URL=upstream.url)

    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"shop: {upstream.url}: ")
    assert line.endswith("The URL probably needs /api/v1 at its end.")


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
