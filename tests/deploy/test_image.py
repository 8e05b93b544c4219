"""The image, built from deploy/Dockerfile and run with the arguments, variables and probes of Flagsmith's chart."""

import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.deploy.test_drop_in_files import FACTS
from tests.support import sse
from tests.support.image import Image
from tests.support.patience import FIRST_START, PATIENCE, START
from tests.support.processes import Process
from tests.support.redis import Redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TOKEN = "publisher-t0ken"
PORT = FACTS["container"]["port"]

# It has 271 MB on the stand-in for the base.
MAX_BYTES = 290_000_000


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with Image() as image:
        yield image


@pytest.fixture(autouse=True)
def port_is_free() -> None:
    """The container has this machine's network, and the chart's port."""
    try:
        socket.create_server(("0.0.0.0", PORT)).close()
    except OSError:
        pytest.skip(f"port {PORT} is in use")


def probe(path: str) -> int:
    """Request the path as a kubelet does, on an address that is not 127.0.0.1. 0: no response."""
    try:
        return requests.get(
            f"http://127.0.0.2:{PORT}{path}", timeout=FACTS["container"]["probe_timeout_seconds"]
        ).status_code
    except requests.RequestException:
        return 0


def server_pid(process: Process) -> int:
    """The process that runs the server: the innermost child of buildah."""
    pid = process.pid
    while children := [int(child) for child in _children(pid)]:
        pid = children[-1]
    return pid


def end(process: Process) -> None:
    """Kill the server, which outlives a buildah that is killed, and buildah."""
    if process.returncode is None:
        os.kill(server_pid(process), signal.SIGKILL)
    process.kill()


def _children(pid: int) -> list[str]:
    # Any thread of buildah may have started it.
    return [child for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]


def user_of(pid: int) -> int:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:")]
    return int(line.split()[1])


def test_image__configuration__not_root_labelled_and_small(image: Image) -> None:
    configuration = image.configuration()
    assert configuration["User"] == "10001:10001"
    assert configuration["Entrypoint"] == ["flagsmith-realtime"]
    assert configuration["Cmd"] == FACTS["container"]["args"]
    assert configuration["Healthcheck"]["Test"][0] == "CMD"
    assert configuration["Labels"]["org.opencontainers.image.title"] == "flagsmith-realtime"
    assert 0 < image.size() < MAX_BYTES


@pytest.mark.parametrize("arguments", [FACTS["container"]["args"], []], ids=["chart", "compose"])
def test_image__started_by_flagsmith__ready_serves_and_ends_within_a_second(image: Image, arguments: list[str]) -> None:
    with Redis() as redis:
        variables = {"SSE_AUTHENTICATION_TOKEN": TOKEN, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port)}
        process = image.start(image.container(), arguments, **variables)
        try:
            process.wait_until(lambda: probe(FACTS["container"]["readinessProbe"]) == 200, START)
            assert probe(FACTS["container"]["livenessProbe"]) == 200
            pid = server_pid(process)
            assert user_of(pid) == 10001
            with sse.connect(PORT, "shop") as stream:
                stream.next_comment()
                answer = requests.post(
                    f"http://127.0.0.2:{PORT}/sse/environments/shop/queue-change",
                    json={"updated_at": "2026-01-01T00:00:00"},
                    headers={"Authorization": f"Token {TOKEN}"},
                    timeout=PATIENCE,
                )
                assert answer.status_code == 202
                assert stream.next_event().updated_at == 1767225600
            # Of the server itself: buildah needs more time.
            ended = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)
            assert select.select([ended], [], [], 1.0)[0]
            os.close(ended)
        finally:
            end(process)


def test_image__read_only_root_file_system__serves(image: Image) -> None:
    """All files belong to root, and the server's user may write nothing."""
    container = image.container()
    root = Path(image.run("mount", container))
    for folder in ("tmp", "var/tmp", "var/lib/flagsmith-realtime", "run"):
        (root / folder).chmod(0o555)
        os.chown(root / folder, 0, 0)
    with Redis() as redis:
        variables = {"SSE_AUTHENTICATION_TOKEN": TOKEN, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port)}
        process = image.start(container, ["serve"], **variables)
        try:
            process.wait_until(lambda: probe("/health/readiness/") == 200, START)
        finally:
            end(process)


def test_image__product__migrates_and_serves(image: Image) -> None:
    container = image.container()
    variables = {
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "ALLOWED_HOSTS": "127.0.0.2",
        "PUBLIC_URL": "https://flags.example.com",
        "SECURE_SSL_REDIRECT": "false",
    }
    migrate = image.start(container, ["product", "migrate", "--no-input"], **variables)
    try:
        assert migrate.wait(FIRST_START) == 0, migrate.log
    finally:
        end(migrate)
    process = image.start(container, ["product"], **variables)
    try:
        process.wait_until(lambda: probe("/health/readiness") == 200, START)
        assert probe("/api/v1/flags/") == 403
    finally:
        end(process)
