"""Log formats: text on a terminal, JSON elsewhere, or as configured."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from tests.support.programs import ROOT
from tests.support.server import environ

pytestmark = pytest.mark.slow

# Logs like a server.
LOG = """
import django, logging, structlog
django.setup()
structlog.get_logger("features").warning("scheduler_failing", environment=7)
try:
    raise RuntimeError("broken")
except RuntimeError:
    logging.getLogger("other").exception("Failed")
"""

TEXT = re.compile(r"\d\d:\d\d:\d\d \[warning *\] scheduler_failing +\[features\] environment=7")


def logged(*, terminal: bool, **variables: str) -> str:
    """The log output on stderr, which is a terminal or a pipe."""
    settings = {"DJANGO_SETTINGS_MODULE": "settings.test", "TERM": "xterm", "NO_COLOR": "", **variables}
    read, write = pty.openpty() if terminal else os.pipe()
    try:
        subprocess.run([sys.executable, "-c", LOG], cwd=ROOT, env=environ(**settings), stderr=write, check=True)
        return os.read(read, 100_000).decode().replace("\r\n", "\n")
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize(
    "terminal, variables", [(True, {"NO_COLOR": "1"}), (True, {"LOG_FORMAT": "text"}), (False, {"LOG_FORMAT": "Text"})]
)
def test_logs__terminal_or_format_text__text_with_tracebacks(terminal: bool, variables: dict[str, str]) -> None:
    output = logged(terminal=terminal, **variables)

    has_colours = "\x1b[" in output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert TEXT.search(plain), plain
    assert "\nRuntimeError: broken" in plain
    assert has_colours == (terminal and "NO_COLOR" not in variables)


@pytest.mark.parametrize("terminal, variables", [(False, {}), (True, {"LOG_FORMAT": "json"})])
def test_logs__no_terminal_or_format_json__one_json_object_per_line(terminal: bool, variables: dict[str, str]) -> None:
    first, second = [json.loads(line) for line in logged(terminal=terminal, **variables).splitlines()]

    assert (first["event"], first["level"], first["environment"]) == ("scheduler_failing", "warning", 7)
    assert "RuntimeError: broken" in second["exception"]
