"""docs/embedding.md: the project from the page's code and commands, in an empty folder."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ports, programs, sse
from tests.support.patience import PATIENCE, START
from tests.support.processes import Process, accepts_connections
from tests.support.server import environ

pytestmark = pytest.mark.slow

PAGE = (programs.ROOT / "docs" / "embedding.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.py)(, at the end)?\n")


class Shop:
    """The page's project, served on a free port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = ports.free_port()
        path = f"{Path(sys.executable).parent}:{environ()['PATH']}"
        self.environ = environ(PATH=path, PYTHONPATH=str(programs.ROOT), REALTIME_DRAIN_SECONDS="0")
        blocks = BLOCK.findall(PAGE.replace("8000", str(self.port)))
        self.commands = [text for language, text in blocks if language == "sh"]
        # Without pip install: the packages are on the path.
        self.run("\n".join(line for line in self.commands[0].splitlines() if not line.startswith("pip install")))
        for text in [text for language, text in blocks if language == "python"]:
            self._write(text)

    def command(self, beginning: str) -> str:
        """The page's block of commands with this beginning."""
        (text,) = [text for text in self.commands if text.startswith(beginning)]
        return text

    def run(self, commands: str) -> str:
        """Run commands in bash, up to the first one that fails."""
        command = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _write(self, text: str) -> None:
        name, at_the_end = FILE.match(text).groups()  # type: ignore[union-attr]
        file = self.folder / name
        file.write_text(file.read_text() + text if at_the_end else text)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.run(shop.command("python manage.py makemigrations"))
    serve = shop.command("python manage.py serve").split()
    process = Process(serve, environ=shop.environ, cwd=shop.folder)
    try:
        process.wait_until(lambda: accepts_connections(shop.port), START)
        yield shop
    finally:
        process.stop()


def test_embedding_page__commands_in_an_empty_folder__stream_a_change(shop: Shop) -> None:
    with sse.connect(shop.port, "spring") as stream:
        version = stream.next_event().updated_at
        shop.run(shop.command('python manage.py shell -c "\nfrom banners.models import Banner'))
        version = stream.event_after(version, timeout=PATIENCE).updated_at
    read = shop.run(shop.command(f"curl http://localhost:{shop.port}/banners/"))
    assert read == f'{{"updated_at": "{version}", "banners": ["New tulips"]}}'


def test_embedding_page__bulk_write__streams_a_change(shop: Shop) -> None:
    with sse.connect(shop.port, "spring") as stream:
        version = stream.next_event().updated_at
        code = "from banners import models, services; services.rename(models.Environment.objects.get(), 'a', 'b')"
        shop.run(f'python manage.py shell -c "{code}"')
        stream.event_after(version, timeout=PATIENCE)


def test_embedding_page__checks__find_nothing(shop: Shop) -> None:
    assert "no issues" in shop.run("python manage.py check --fail-level INFO")


def test_embedding_page__table_of_exports__is_complete() -> None:
    import realtime

    table = PAGE.partition("## What `realtime` exports")[2]
    named = {word for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for word in re.findall(r"`(\w+)", cell)}
    assert named == set(realtime.__all__)
