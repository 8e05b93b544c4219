"""Promise I9: ``realtime`` imports no sibling. It runs in a project without them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support import ports, programs, sse, wheel
from tests.support.patience import PATIENCE, START
from tests.support.processes import Process, accepts_connections
from tests.support.server import Answer, environ

SIBLINGS = {"api_keys", "core", "environments", "features", "organisations", "permissions", "projects", "segments"}

ROWS = """
from tests.hostapp.models import Product, Stage, Switch
product = Product.objects.create()
stage = Stage.objects.create(api_key="stage", product=product)
print(stage.pk, Switch.objects.create(stage=stage).pk, Switch.objects.create(stage=stage, note="quiet").pk)
"""

CHANGE = """
from tests.hostapp.models import Switch
switch = Switch.objects.get(pk={switch})
switch.on = True
switch.save()
"""

# Requests a page of the host from the application of "serve_realtime".
SERVE = """
import asyncio
import sys
from django.conf import settings
from realtime.serving.asgi import application

async def lifespan():
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    async def receive():
        if len(messages) == 1:
            await page()
        return messages.pop(0)
    async def send(message):
        assert message["type"].endswith(".complete")
    await application({"type": "lifespan"}, receive, send)

async def page():
    async def receive():
        await asyncio.Event().wait()
    async def send(message):
        answers.append(message)
    scope = {"type": "http", "method": "GET", "path": "/modules", "query_string": b"", "headers": []}
    await application(scope, receive, send)
    print(answers[0]["status"], dict(answers[0]["headers"])[b"X-Content-Type-Options"].decode())

answers = []
asyncio.run(lifespan())
print(settings.ROOT_URLCONF, settings.MIDDLEWARE, "tests.hostapp.urls" in sys.modules)
"""


class Host:
    """The host project on a free port, run by this Python in a folder that contains ``tests.hostapp``."""

    def __init__(self, folder: Path, python: str = sys.executable, cwd: Path = programs.ROOT) -> None:
        self.port = ports.free_port()
        self.python = python
        self.cwd = cwd
        self.environ = environ(DJANGO_SETTINGS_MODULE="tests.hostapp.settings", VAR_DIR=str(folder))
        self.manage("migrate", "--run-syncdb", "--verbosity=0")
        self.stage, self.switch, self.quiet = self.manage("shell", "-v0", "-c", ROWS).split()

    def manage(self, *arguments: str) -> str:
        return self.run(*arguments).stdout

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("-m", "django", *arguments)

    def run_code(self, code: str) -> str:
        """Run this code with the host's environment variables, and return its output."""
        return self._run("-c", code).stdout

    def start(self, *arguments: str) -> Process:
        """Start a server of the host, and wait until it accepts connections."""
        process = Process([self.python, "-m", *arguments], environ=self.environ, cwd=self.cwd)
        try:
            process.wait_until(lambda: accepts_connections(self.port), START)
        except BaseException:
            process.kill()
            raise
        return process

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.python, *arguments]
        return subprocess.run(command, env=self.environ, cwd=self.cwd, check=True, capture_output=True, text=True)

    def get(self, path: str) -> Answer:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(response.status, response.read())


@pytest.fixture(
    scope="module",
    params=[
        "uvicorn",
        pytest.param("daphne", marks=pytest.mark.slow),
        *(
            pytest.param(f"wheel, daphne, Django {version}", marks=pytest.mark.slow)
            for version in ("5.0", "5.1", "5.2")
        ),
    ],
)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    if request.param in ("uvicorn", "daphne"):
        host, server = Host(folder), request.param
    else:
        host, server = host_of_wheel(folder, django=request.param.rpartition(" ")[2]), "daphne"
    option = {"uvicorn": "--port", "daphne": "-p"}[server]
    process = host.start(server, option, str(host.port), "tests.hostapp.asgi:application")
    try:
        yield host
    finally:
        process.stop()


def host_of_wheel(folder: Path, django: str) -> Host:
    """A host with the wheel, without its extras, on this Django version, and without this repository."""
    python = wheel.install(folder, extras=False, django=django)
    shutil.copytree(Path(__file__).parent, folder / "tests" / "hostapp")
    host = Host(folder, python=str(python), cwd=folder)
    printed = host.run_code("import django, realtime; print(django.__version__, realtime.__file__)").split()
    assert printed[0].startswith(f"{django}.")
    assert Path(printed[1]).is_relative_to(folder)
    return host


def test_host__own_models__their_changes_are_streamed(host: Host) -> None:
    with sse.connect(host.port, "stage") as stream:
        version = stream.next_event().updated_at
        for value in ("on", "off"):
            assert host.get(f"/switch/{host.switch}/{value}").status == 200
            version = stream.event_after(version).updated_at
        host.get(f"/switch/{host.switch}/off")
        host.get(f"/switch/{host.quiet}/on")
        host.get(f"/silent/{host.stage}")
        host.get(f"/bulk/{host.stage}")
        marker = stream.event_after(version).updated_at
    with sse.connect(host.port, "stage") as stream:
        assert stream.next_event().updated_at == marker


def test_host__unknown_key__stream_of_comments(host: Host) -> None:
    with sse.connect(host.port, "nowhere") as stream:
        assert b"no environment" in stream.next_block().data + stream.next_block().data  # type: ignore[union-attr]


def test_host__publisher__version_of_an_unknown_key_is_streamed(host: Host) -> None:
    for key, published in (("elsewhere", True), ("stage", False)):
        with sse.connect(host.port, key) as stream:
            stream.next_block()
            answer = requests.post(
                f"http://127.0.0.1:{host.port}/sse/environments/{key}/queue-change",
                json={"updated_at": "2026-01-01T00:00:00"},
                headers={"Authorization": "Token publisher-t0ken"},
                timeout=PATIENCE,
            )
            assert (answer.status_code, answer.json()) == (202, {})
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            data = stream.next_event().fields["data"]
            assert (data == '{"updated_at": 1767225600.000000}') is published


def test_host__running__no_sibling_is_imported(host: Host) -> None:
    assert not SIBLINGS & set(json.loads(host.get("/modules").body))


@pytest.mark.slow
def test_host__one_watched_model_missing__check_informs_and_serve_realtime_streams_changes(tmp_path: Path) -> None:
    host = Host(tmp_path)
    output = host.run("check", "--fail-level", "WARNING").stderr
    (message,) = [line for line in output.splitlines() if "realtime." in line]
    assert "INFOS:" in output
    assert message.startswith("?: (realtime.I001) There is no model 'workflows_core.ChangeRequest'")
    process = host.start("django", "serve_realtime", f"--port={host.port}")
    try:
        with sse.connect(host.port, "stage") as stream:
            before = stream.next_event().updated_at

            host.manage("shell", "-v0", "-c", CHANGE.format(switch=host.switch))

            stream.event_after(before, timeout=PATIENCE)
    finally:
        process.kill()


@pytest.mark.slow
def test_host__serve_realtime__does_not_change_the_projects_settings_and_pages(tmp_path: Path) -> None:
    assert Host(tmp_path).run_code(SERVE).splitlines()[-2:] == ["404 nosniff", "tests.hostapp.urls [] False"]
