"""The drop-in server with Redis and no database: several processes, faults, and the kinds of Redis."""

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import requests
from redis import Redis as Client

from realtime.posted_versions.redis import VERSIONS
from tests.support import programs, sse
from tests.support.detached import TOKEN, DetachedServer
from tests.support.patience import PATIENCE
from tests.support.redis import PROGRAMS, Redis, RedisCluster
from tests.support.server import environ

START = datetime(2026, 1, 1, tzinfo=UTC)
RETRY_SECONDS = 0.1

# Posts under faults, and the pause between two of them.
POSTS = 200
PAUSE_SECONDS = 0.1

# One reconcile (CACHE_UPDATE_INTERVAL_SECONDS), and a margin for a busy machine.
WITHIN_SECONDS = 1.0 + 1.5

# Flagsmith gives up a post after this time.
FLAGSMITH_SECONDS = 2.0

_seconds = itertools.count(1)


def new_version() -> datetime:
    """A version that is greater than all before."""
    return START + timedelta(seconds=next(_seconds))


def seconds(version: datetime) -> Decimal:
    """The version as in an event."""
    return Decimal(int(version.timestamp()))


def post(server: DetachedServer, key: str, version: datetime) -> int:
    """Post once, as Flagsmith does. Returns the status, or 0 without a response."""
    try:
        response = requests.post(
            f"{server.url}/sse/environments/{key}/queue-change",
            json={"updated_at": version.isoformat()},
            headers={"Authorization": f"Token {TOKEN}"},
            timeout=PATIENCE,
        )
    except requests.ConnectionError:
        return 0
    return response.status_code


def first_version(server: DetachedServer, key: str) -> datetime | None:
    """The version that a new stream gets at once. None: it gets a comment instead."""
    with sse.connect(server.port, key) as stream:
        while True:
            block = stream.next_block()
            assert block is not None
            if block.is_event:
                return datetime.fromtimestamp(float(block.updated_at), UTC)
            if b"nothing has been posted" in block.data:
                return None


def variables(redis: Redis) -> dict[str, str]:
    """Only the guide's variables."""
    return {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port)}


@pytest.fixture(
    params=[PROGRAMS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in (*PROGRAMS[1:], "cluster"))]
)
def redis(request: pytest.FixtureRequest) -> Iterator[tuple[Redis, dict[str, str]]]:
    if request.param == "cluster":
        with RedisCluster() as cluster:
            yield cluster.nodes[0], {**variables(cluster.nodes[0]), "USE_CLUSTER_MODE": "True"}
    else:
        with Redis(program=request.param) as server:
            yield server, variables(server)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., DetachedServer]]:
    """Starts a drop-in server whose working folder is read-only for it: it needs no files."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(DetachedServer(tmp_path / "missing", **options))


def test_replicas__post_to_any__all_streams_and_all_new_clients_get_it(
    redis: tuple[Redis, dict[str, str]], start: Callable[..., DetachedServer]
) -> None:
    _, options = redis
    servers = [start(**options) for _ in range(3)]
    with ExitStack() as stack:
        streams = [stack.enter_context(sse.connect(server.port, "shop")) for server in servers]
        for server in servers:
            version = new_version()
            assert post(server, "shop", version) == 202
            for stream in streams:
                stream.event_after(seconds(version) - 1)
            assert {first_version(each, "shop") for each in servers} == {version}
            # A late task of Flagsmith.
            assert post(server, "shop", version - timedelta(seconds=1)) == 202
    # Scale up.
    assert first_version(start(**options), "shop") == version


def test_replicas__redis_comes_back_empty_or_is_flushed__refilled_within_a_reconcile(
    start: Callable[..., DetachedServer],
) -> None:
    with Redis() as redis:
        servers = [start(**variables(redis)) for _ in range(2)]
        version = new_version()
        for key in ("shop", "blog"):
            assert post(servers[0], key, version) == 202
        for empty in (restart(redis), lambda: Client.from_url(redis.url).flushall()):
            empty()
            began = time.monotonic()
            with Client.from_url(redis.url) as client:
                servers[0].process.wait_until(lambda client=client: client.zcard(VERSIONS) == 2)
            assert time.monotonic() - began < WITHIN_SECONDS
            for key, server in itertools.product(("shop", "blog"), servers):
                assert first_version(server, key) == version
            # A process without a copy, from an empty disk.
            servers[1].process.kill()
            servers[1].start()


def restart(redis: Redis) -> Callable[[], None]:
    def stop_and_start() -> None:
        redis.stop()
        redis.start()

    return stop_and_start


class Publisher:
    """Posts ``POSTS`` versions, each of another environment, to several servers in turn, and retries as Flagsmith."""

    def __init__(self, servers: list[DetachedServer]) -> None:
        self.servers = servers
        self.accepted: dict[str, datetime] = {}

    def run(self) -> None:
        for number in range(POSTS):
            key, version = f"key-{number}", new_version()
            self._post(number, key, version)
            self.accepted[key] = version
            time.sleep(PAUSE_SECONDS)

    def _post(self, number: int, key: str, version: datetime) -> None:
        """The next server gets the post if this one responds 503, or does not run."""
        deadline = time.monotonic() + 2 * PATIENCE
        for attempt in itertools.count(number):
            if post(self.servers[attempt % len(self.servers)], key, version) == 202:
                return
            assert time.monotonic() < deadline
            time.sleep(RETRY_SECONDS)

    def assert_complete_within_a_reconcile(self, redis: Redis, keys: list[str]) -> None:
        """Redis has these versions, and new clients of all servers get the last ones."""
        began = time.monotonic()
        with Client.from_url(redis.url) as client:
            redis.process.wait_until(lambda: None not in client.zmscore(VERSIONS, keys))
        assert time.monotonic() - began < WITHIN_SECONDS
        self.assert_served(keys[-5:])

    def assert_served(self, keys: Iterable[str]) -> None:
        for server, key in itertools.product(self.servers, keys):
            assert first_version(server, key) == self.accepted[key]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [3, 5])
def test_replicas__faults_during_200_posts__none_is_lost(count: int, start: Callable[..., DetachedServer]) -> None:
    with Redis() as redis, ExitStack() as stack:
        servers = [start(**variables(redis)) for _ in range(count)]
        publisher = Publisher(servers)
        keys = [f"key-{number}" for number in range(0, POSTS, 10)]
        # The first process is not killed.
        streams = {key: stack.enter_context(sse.connect(servers[0].port, key)) for key in keys}
        victims = itertools.cycle(range(1, count))

        def kill_a_process() -> None:
            """It has no files to read after its start."""
            victim = servers[next(victims)]
            victim.process.kill()
            victim.start()

        faults = (kill_a_process, restart(redis), Client.from_url(redis.url).flushall)
        publishing = stack.enter_context(ThreadPoolExecutor(1)).submit(publisher.run)
        done = 0
        for fault in itertools.cycle(faults):
            servers[0].process.wait_until(lambda: len(publisher.accepted) > 0)
            accepted = list(publisher.accepted)
            fault()
            publisher.assert_complete_within_a_reconcile(redis, accepted)
            if publishing.done():
                break
            done += 1
            if done == len(faults):
                # Scale up.
                servers.append(start(**variables(redis)))
        publishing.result()
        assert done > len(faults)
        publisher.assert_served(publisher.accepted)
        for key, stream in streams.items():
            stream.event_after(seconds(publisher.accepted[key]) - 1)


@pytest.mark.slow
def test_redis__stops_responding__503_within_flagsmiths_timeout_and_degraded(
    start: Callable[..., DetachedServer],
) -> None:
    with Redis() as redis:
        server = start(**variables(redis))
        version = new_version()
        assert post(server, "shop", version) == 202
        redis.process.send(signal.SIGSTOP)
        try:
            for _ in range(3):
                began = time.monotonic()
                assert post(server, "shop", new_version()) == 503
                assert time.monotonic() - began < FLAGSMITH_SECONDS
            report = server.get("/health/readiness")
            assert (report.status, report.json()["status"]) == (200, "degraded")
            assert report.json()["store"]["available"] is False
            assert report.json()["store"]["since"]
            assert first_version(server, "shop") == version
        finally:
            redis.process.send(signal.SIGCONT)
        server.process.wait_until(lambda: server.get("/health/readiness").json()["status"] == "ok")


def test_redis__away_at_start__not_ready_until_it_has_been_read(
    start: Callable[..., DetachedServer], tmp_path: Path
) -> None:
    redis = Redis()
    server = DetachedServer(tmp_path, **variables(redis))
    server.launch()
    try:
        server.process.wait_for_log("Uvicorn running")
        report = server.get("/health/readiness")
        assert report.status == 503
        assert report.json()["store"] == "redis has not been read since the start of this process"
        assert server.get("/health/liveness/").status == 200
        with redis:
            server.wait()
    finally:
        server.process.kill()


def make_certificates(folder: Path) -> dict[str, str]:
    """A certificate authority and a server's certificate. Returns Redis's options."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *key, "-subj", "/CN=redis", "-keyout", "redis.key", "-out", "redis.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-extfile", "names"]
    openssl("x509", "-req", "-in", "redis.csr", "-out", "redis.pem", *signed)
    files = {"tls_cert_file": "redis.pem", "tls_key_file": "redis.key", "tls_ca_cert_file": "ca.pem"}
    return {"tls_auth_clients": "no", **{option: str(folder / name) for option, name in files.items()}}


def serve(**given: str) -> subprocess.CompletedProcess[str]:
    """Run the command with an invalid port: it ends in any case, after the check of Redis."""
    return subprocess.run(
        [sys.executable, "-m", "realtime.detached", "serve", "--port=0"],
        cwd=programs.ROOT,
        env=environ(SSE_AUTHENTICATION_TOKEN=TOKEN, **given),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def assert_fails(text: str, **given: str) -> None:
    done = serve(**given)
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("flagsmith-realtime: ")
    assert text in line


@pytest.mark.slow
def test_redis__tls_with_a_private_authority__streams_and_errors_name_the_variable(
    start: Callable[..., DetachedServer], tmp_path: Path
) -> None:
    options = make_certificates(tmp_path)
    with Redis() as plain, Redis(is_tls=True, **options) as tls:
        given = {**variables(tls), "REDIS_USE_SSL": "True"}
        server = start(**given, REDIS_CA_FILE=str(tmp_path / "ca.pem"))
        version = new_version()
        assert post(server, "shop", version) == 202
        assert first_version(server, "shop") == version
        assert_fails("set REDIS_CA_FILE", **given)
        assert_fails("REDIS_USE_SSL", **variables(tls))
        assert "REDIS_USE_SSL" in serve(**variables(plain), REDIS_USE_SSL="True").stderr


ACL = (
    "user flagsmith on >secret resetkeys resetchannels ~{flagsmith-realtime}:* &events_channel"
    " &flagsmith-realtime-check -@all +@connection +eval +time +zadd +zcard +zpopmin +zrem +zrange +zrangebyscore"
    " +zscore +zmscore +publish +subscribe +ping"
)


@pytest.mark.slow
def test_redis__user_with_an_acl__streams_and_errors_name_the_variable(start: Callable[..., DetachedServer]) -> None:
    with Redis(requirepass="root") as redis:
        with Client(port=redis.port, password="root") as client:
            client.execute_command("ACL", "SETUSER", *ACL.split()[1:])
            client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@read")
        given = {**variables(redis), "REDIS_USERNAME": "flagsmith", "REDIS_PASSWORD": "secret"}
        servers = [start(**given) for _ in range(2)]
        with sse.connect(servers[1].port, "shop") as stream:
            stream.next_comment()
            version = new_version()
            assert post(servers[0], "shop", version) == 202
            stream.event_after(seconds(version) - 1)
        assert_fails("REDIS_PASSWORD", **{**given, "REDIS_PASSWORD": "wrong"})
        assert_fails("REDIS_PASSWORD", **variables(redis))
        assert_fails("REDIS_USERNAME", **{**given, "REDIS_USERNAME": "reader"})


@pytest.mark.slow
def test_redis__cluster_mode_or_database_is_wrong__error_names_the_variable() -> None:
    with Redis() as redis:
        assert_fails("REDIS_URL has a database number", REDIS_URL=redis.url.replace("/0", "/99"))
        assert_fails("USE_CLUSTER_MODE is true", **variables(redis), USE_CLUSTER_MODE="True")
    with RedisCluster() as cluster:
        # Two of the nodes do not have the slot of the keys.
        failed = [serve(**variables(node)) for node in cluster.nodes[:2]]
        assert any("USE_CLUSTER_MODE is not true" in done.stderr for done in failed)
