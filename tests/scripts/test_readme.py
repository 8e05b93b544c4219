"""The README's commands, in their order, in several terminals; those of the relay are in tests/relay."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support import ports, programs
from tests.support.patience import FIRST_START, START
from tests.support.processes import Process
from tests.support.server import environ

README = (programs.ROOT / "README.md").read_text()

COMMANDS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.timeout(FIRST_START + 300)]


def test_readme__commands_in_their_order__stream_shows_the_change_and_flags_the_new_state(tmp_path: Path) -> None:
    run, stream, change, read, _relay = COMMANDS
    port = str(ports.free_port())
    # On a busy machine, the test may take longer than a stream's default duration.
    variables = environ(PORT=port, VAR_DIR=str(tmp_path), REALTIME_DRAIN_SECONDS="0", REALTIME_STREAM_SECONDS="3600")

    def typed(command: str) -> list[str]:
        return ["bash", "-euc", command.replace("localhost:8000", f"localhost:{port}")]

    server = Process(typed(run), environ=variables, cwd=programs.ROOT)
    streaming = None
    try:
        server.wait_until(lambda: "Uvicorn running" in server.log, FIRST_START)
        streaming = Process(typed(stream), environ=variables, cwd=programs.ROOT)
        # The command runs manage.py first.
        first = streaming.wait_for_log("data: ", START)
        printed = subprocess.run(
            typed(change + read), env=variables, cwd=programs.ROOT, check=True, capture_output=True, text=True
        ).stdout
        version = re.search(r"x-flagsmith-document-updated-at: ([\d.]+)", printed, re.IGNORECASE)
        assert version is not None
        event = streaming.wait_for_log(f'data: {{"updated_at": {version[1]}}}')
        assert event != first
        assert '"enabled":true' in printed.replace(" ", "")
    finally:
        if streaming is not None:
            streaming.kill()
        server.stop()
