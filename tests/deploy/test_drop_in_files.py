"""The files in deploy/drop-in, compared with recorded facts of Flagsmith's Helm chart and guide."""

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from realtime.conf import conf
from realtime.http import drain
from realtime.monitoring import metrics
from realtime.serving import health, variables
from tests.deploy.test_files import DEPLOY, UVICORN_SECONDS, command, instructions
from tests.support import ports, programs

DROP_IN = DEPLOY / "drop-in"
PAGE = programs.ROOT / "docs" / "drop-in.md"
FACTS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "flagsmith_chart.yaml").read_text())


def load(name: str) -> Any:
    return yaml.safe_load((DROP_IN / name).read_text())


def test_image__arguments_and_port_of_the_chart__are_its_own() -> None:
    assert command("CMD") == FACTS["container"]["args"]
    assert command("ENTRYPOINT") == ["flagsmith-realtime"]
    assert ("EXPOSE", str(FACTS["container"]["port"])) in instructions()
    assert FACTS["container"]["livenessProbe"] in health.LIVENESS
    assert FACTS["container"]["readinessProbe"].removeprefix("/") in health.READINESS
    assert FACTS["container"]["probe_timeout_seconds"] >= health.DATABASE_TIMEOUT_SECONDS


def test_values__keys__are_read_by_the_chart() -> None:
    values = load("values.yaml")
    assert set(values["sse"]) <= set(FACTS["sse"])
    assert set(values["sse"]["image"]) <= set(FACTS["image"])
    assert set(values["hpa"]["sse"]) <= set(FACTS["hpa"])
    # The chart's autoscaler compares with it.
    assert values["sse"]["resources"]["requests"]["cpu"]


def test_values__secret_in_a_comment__has_the_keys_that_the_chart_reads() -> None:
    keys = re.findall(r"^  #     (\w+):", (DROP_IN / "values.yaml").read_text(), re.MULTILINE)
    assert keys == FACTS["secret"]


def test_values__variables__are_the_guides() -> None:
    text = (DROP_IN / "values.yaml").read_text()
    named = set(re.findall(r"^    (?:# )?([A-Z_]{5,}):", text, re.MULTILINE))
    assert {"REDIS_HOST", "REDIS_PORT"} <= named <= set(FACTS["variables"])


def test_guide__each_variable__has_an_effect_or_a_reason() -> None:
    known = {*variables.NAMES, *variables.SWITCHES, *variables.NO_EFFECT, *variables.RENAMED}
    assert set(FACTS["variables"]) <= known | {"SSE_AUTHENTICATION_TOKEN"}
    page = PAGE.read_text()
    assert [name for name in FACTS["variables"] if f"`{name}`" not in page] == []


def test_hpa__metric_and_deployment__exist() -> None:
    spec = load("hpa.yaml")["spec"]
    assert spec["scaleTargetRef"]["name"] == FACTS["container"]["deployment"]
    (metric,) = spec["metrics"]
    assert metric["pods"]["metric"]["name"] == metrics.streams_open.collect(Counter()).name


def test_compose__flagsmith_and_task_processor__have_the_guides_variables() -> None:
    services = load("compose.yaml")["services"]
    assert set(services) == {"valkey", "sse", "flagsmith", "flagsmith_processor", "postgres"}
    for name in ("flagsmith", "flagsmith_processor"):
        assert set(FACTS["flagsmith"]) <= set(services[name]["environment"])
    sse = services["sse"]
    assert "command" not in sse
    assert set(sse["environment"]) <= set(FACTS["variables"])
    assert services["flagsmith"]["environment"]["SSE_SERVER_BASE_URL"] == f"http://sse:{FACTS['container']['port']}"


@pytest.mark.parametrize("text", ["values.yaml", "compose.yaml", "flagsmith-realtime-drop-in.service"])
def test_stop__timeouts__are_longer_than_a_drain(text: str) -> None:
    patterns = r"(?:terminationGracePeriodSeconds: |stop_grace_period: |TimeoutStopSec=)(\d+)"
    (seconds,) = re.findall(patterns, (DROP_IN / text).read_text())
    assert int(seconds) > conf.DRAIN_SECONDS + drain.GRACE_SECONDS + drain.REQUESTS_SECONDS + UVICORN_SECONDS


def test_nginx__locations__are_valid(tmp_path: Path) -> None:
    port = ports.free_port()
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n"
        f"upstream flagsmith_realtime {{ server 127.0.0.1:{ports.free_port()}; }}\n"
        f"server {{ listen 127.0.0.1:{port}; include {DROP_IN}/nginx.conf; }}\n}}\n"
    )
    check = [programs.require("nginx"), "-t", "-e", tmp_path / "log", "-c", tmp_path / "nginx.conf"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
