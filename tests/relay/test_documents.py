"""The commands of docs/relay.md and of the README's section, with an environment that has the wheel."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support import ports, programs, wheel
from tests.support.patience import START
from tests.support.processes import Process
from tests.support.server import environ
from tests.support.upstream import Environment, Upstream

PAGE = (programs.ROOT / "docs" / "relay.md").read_text()
README = (programs.ROOT / "README.md").read_text()
SECTION = "## In front of a Flagsmith you already have\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment with the wheel and its extras."""
    return wheel.install(tmp_path_factory.mktemp("wheel")).parent


@pytest.fixture
def documented(upstream: Upstream) -> Environment:
    """The environment whose keys are in the documents."""
    made = upstream.add_environment("KEY")
    upstream.environments["ser.SERVER_KEY"] = made
    return made


class Terminal:
    """Runs commands in a folder, with another address for the upstream, and a free port for the relay."""

    def __init__(self, installed: Path, folder: Path, upstream: Upstream) -> None:
        self.port = ports.free_port()
        self.folder = folder
        self._upstream = upstream
        self._environ = environ(
            PATH=f"{installed}{os.pathsep}{os.environ['PATH']}",
            SERVER=json.dumps({"host": "127.0.0.1", "port": self.port}),
        )

    def adapted(self, text: str) -> str:
        return text.replace("https://flagsmith.example.com", self._upstream.url).replace(":8000", f":{self.port}")

    def start(self, command: str) -> Process:
        return Process(["bash", "-euc", self.adapted(command)], environ=self._environ, cwd=self.folder)

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", self.adapted(command)], env=self._environ, cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def terminal(installed: Path, tmp_path: Path, upstream: Upstream) -> Terminal:
    return Terminal(installed, tmp_path, upstream)


def commands(text: str) -> list[str]:
    """The commands of a page, by line; a line may continue."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def assert_streams(terminal: Terminal, command: str) -> None:
    stream = terminal.start(command)
    try:
        stream.wait_for_log('data: {"updated_at": ')
    finally:
        stream.kill()


def test_page__commands_in_their_order__relay_serves_and_streams(terminal: Terminal, documented: Environment) -> None:
    (configuration,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (terminal.folder / "config.json").write_text(terminal.adapted(configuration))
    check, serve, flags, stream = commands(PAGE)

    terminal.run(check)
    relay = terminal.start(serve)
    try:
        relay.wait_until(lambda: "Uvicorn running" in relay.log, START)
        assert '"banner"' in terminal.run(flags)
        assert_streams(terminal, stream)
    finally:
        relay.stop()
    assert [path for path in terminal.folder.iterdir() if path.name != "config.json"]


def test_page__length__four_hundred_words() -> None:
    assert len(re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL).split()) <= 400


def test_readme__three_commands__relay_streams(terminal: Terminal, documented: Environment) -> None:
    _, _, section = README.partition(SECTION)
    install, serve, stream = commands(section.partition("\n## ")[0])
    assert install == "pip install '.[relay]'"

    relay = terminal.start(serve)
    try:
        relay.wait_until(lambda: "Uvicorn running" in relay.log, START)
        assert_streams(terminal, stream)
    finally:
        relay.stop()
