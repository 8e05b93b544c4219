"""The files in deploy/relay: their variables exist, and their units and timeouts are valid."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from realtime.conf import conf
from realtime.http import drain
from tests.deploy.test_files import DEPLOY, UVICORN_SECONDS, command, instructions
from tests.support import programs

RELAY = DEPLOY / "relay"
UNIT = RELAY / "flagsmith-realtime-relay.service"
PAGES = "".join((programs.ROOT / "docs" / name).read_text() for name in ("relay.md", "settings.md"))


def service() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((RELAY / "compose.yaml").read_text())["services"]["relay"]
    return loaded


def test_compose__service__runs_the_images_relay_with_a_state() -> None:
    relay = service()
    assert command("ENTRYPOINT") == ["flagsmith-realtime"]
    assert relay["command"] == ["relay"]
    assert ("EXPOSE", "8000") in instructions()
    assert relay["ports"] == ["${PORT:-8000}:8000"]
    folder = relay["environment"]["RELAY_STATE_DIR"]
    assert f"state:{folder}" in relay["volumes"]
    # The image's user owns it, so a new volume is writable.
    assert any(f"--home-dir {folder} " in rest for name, rest in instructions() if name == "RUN")
    assert f":{Path(relay['environment']['CONFIG_PATH']).parent}:ro" in relay["volumes"][0]


@pytest.mark.parametrize("name", ["compose.yaml", UNIT.name])
def test_file__variables__are_documented(name: str) -> None:
    text = (RELAY / name).read_text()
    named = set(re.findall(r"\b([A-Z]+_[A-Z_]+)\b", text)) - {"AF_UNIX", "AF_INET", "CONFIG_DIR", "PORT", "TAG"}
    assert {"RELAY_STATE_DIR", "CONFIG_PATH"} <= named
    assert [variable for variable in sorted(named) if f"{variable}" not in PAGES] == []


@pytest.mark.parametrize("name", ["compose.yaml", UNIT.name])
def test_stop__timeout__is_longer_than_a_drain(name: str) -> None:
    (seconds,) = re.findall(r"(?:stop_grace_period: |TimeoutStopSec=)(\d+)", (RELAY / name).read_text())
    assert int(seconds) > conf.DRAIN_SECONDS + drain.GRACE_SECONDS + drain.REQUESTS_SECONDS + UVICORN_SECONDS


def test_systemd__unit__is_valid_and_reloads(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert "ExecReload=/bin/kill -HUP $MAINPID" in text
    (program,) = re.findall(r"^ExecStart=(\S+) relay$", text, re.MULTILINE)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    (tmp_path / UNIT.name).write_text(text.replace(program, sys.executable))
    done = subprocess.run([analyze, "verify", "--man=no", UNIT.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "flagsmith" in line]
