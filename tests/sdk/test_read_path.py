"""The read path sends the same responses as Django: status, headers and bytes (promises I3 and I11)."""

import asyncio
import gzip
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import MiddlewareNotUsed
from django.core.handlers.asgi import ASGIHandler
from django.db import OperationalError, connections
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app_analytics.meter import meter
from core.middleware_headers import middleware_headers
from environment_documents import document, isolation
from environment_documents.evaluation_process import Busy, ProcessLost
from environments.identities.models import Identity
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureState
from organisations.models import Organisation
from projects.models import Project
from realtime import runtime
from realtime.evaluation import CompiledEnvironment
from realtime.reads.answering import answer
from realtime.reads.read import FLAGS, Read
from realtime.types import Application, Message
from sdk import authentication, read_path
from settings.asgi import django_application
from tests.sdk import generated
from tests.support.asgi import eventually
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

# Fails a test whose request is passed to Django.
NOT_DJANGO = mock.AsyncMock(side_effect=AssertionError("passed to Django"))

Received = tuple[int, dict[str, str], bytes]


def scope(path: str, headers: Iterable[tuple[str, str]], method: str = "GET", query: str = "") -> Message:
    all_headers = [("host", "localhost"), *headers]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in all_headers],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }


async def send_request(application: Application, request: Message, request_body: bytes = b"") -> Received:
    """Status, headers (``Vary`` sorted) and body of the response."""
    sent: list[Message] = []

    received: asyncio.Queue[Message] = asyncio.Queue()
    received.put_nowait({"type": "http.request", "body": request_body, "more_body": False})

    async def send(message: Message) -> None:
        sent.append(message)

    await application(request, received.get, send)
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    if "vary" in headers:
        headers["vary"] = ", ".join(sorted(word.strip().lower() for word in headers["vary"].split(",")))
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def fast_path(closed_runtime: None) -> Application:
    """The read path. A request that is passed to Django fails the test."""
    return read_path.read_path(NOT_DJANGO)


@pytest.fixture
def full_application(closed_runtime: None) -> Application:
    return read_path.read_path(django_application)


ENVIRONMENTS = generated.environments(
    hide_disabled_flags=st.sampled_from((None, True)), hide_sensitive_data=st.booleans()
)


@examples(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(spec=ENVIRONMENTS, origin=st.booleans(), gzipped=st.sampled_from(("", "gzip", "br, gzip;q=0", "gzip;q=0.5")))
def test_read_path__any_environment__same_responses_as_the_views(
    spec: generated.EnvironmentSpec, origin: bool, gzipped: str, transactional_db: None
) -> None:
    environment = generated.store(spec)
    key = EnvironmentAPIKey.objects.create(environment=environment, name="server")
    Identity.objects.get_or_create(environment=environment, identifier="ada")
    plain = [
        *([("origin", "https://shop.example")] if origin else []),
        *([("accept-encoding", gzipped)] if gzipped else []),
    ]
    requests = [
        *[("/api/v1/flags/", each, "") for each in (environment.api_key, key.key)],
        ("/api/v1/environment-document/", key.key, ""),
        *[
            ("/api/v1/identities/", key.key, f"identifier={quote(identifier)}")
            for identifier in environment.identities.values_list("identifier", flat=True)
            if identifier == identifier.strip()
        ],
    ]

    async def compare() -> None:
        for path, each, query in requests:
            request = scope(path, [*plain, ("x-environment-key", each)], query=query)
            fast_path = await send_request(read_path.read_path(NOT_DJANGO), request)
            assert fast_path == await send_request(django_application, request)
            assert fast_path[0] == 200
        await runtime.current().close()

    asyncio.run(compare())


async def test_read_path__new_identity__stored(full_application: Application, environment: Environment) -> None:
    request = scope("/api/v1/identities/", [("x-environment-key", environment.api_key)], query="identifier=new")
    assert (await send_request(full_application, request))[0] == 200
    assert await Identity.objects.filter(environment=environment, identifier="new").aexists()


async def test_read_path__concurrent_requests__few_queries(
    fast_path: Application, environment: Environment, feature: Feature
) -> None:
    request = scope("/api/v1/flags/", [("x-environment-key", environment.api_key)])
    real = authentication.clients_by_key
    with mock.patch.object(authentication, "clients_by_key", side_effect=real) as reads:
        received = await asyncio.gather(*(send_request(fast_path, request) for _ in range(500)))
    assert {status for status, _, _ in received} == {200}
    assert reads.call_count <= 2


async def test_read_path__change__next_response_has_it(fast_path: Application, state: FeatureState) -> None:
    key = await sync_to_async(lambda: state.environment.api_key)()
    request = scope("/api/v1/flags/", [("x-environment-key", key)])
    for enabled in (True, False, True):
        state.enabled = enabled
        await sync_to_async(state.save)()
        _, _, body = await send_request(fast_path, request)
        assert [flag["enabled"] for flag in json.loads(body)] == [enabled]


async def test_read_path__many_flags__compressed_for_clients_that_accept_gzip(
    fast_path: Application, environment: Environment, make_feature: Callable[..., Feature]
) -> None:
    for number in range(10):
        await sync_to_async(make_feature)(name=f"feature_{number}")
    key = ("x-environment-key", environment.api_key)
    _, headers, gzipped = await send_request(fast_path, scope("/api/v1/flags/", [key, ("accept-encoding", "gzip, br")]))
    _, _, body = await send_request(fast_path, scope("/api/v1/flags/", [key]))
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(gzipped) == body
    assert len(gzipped) < len(body) / 2


async def test_read_path__unexpected_failure__500_by_the_view(
    full_application: Application, environment: Environment
) -> None:
    request = scope("/api/v1/flags/", [("x-environment-key", environment.api_key)])
    with mock.patch.object(authentication, "clients_by_key", side_effect=RuntimeError("gone")):
        status, _, body = await send_request(full_application, request)
    assert status == 500
    assert "detail" in json.loads(body)


async def test_read_path__answered_request__counted(
    fast_path: Application, environment: Environment, settings: Any
) -> None:
    settings.ENABLE_API_USAGE_TRACKING = True
    with mock.patch.object(meter.thread, "start"):
        meter.counters.take()
        for path in ("/api/v1/flags/", "/api/v1/flags/"):
            await send_request(fast_path, scope(path, [("x-environment-key", environment.api_key)]))
        counted = meter.counters.take()
    assert sum(counted.requests.values()) == 2


async def test_read_path__server_without_an_address__answered(fast_path: Application, environment: Environment) -> None:
    """Behind a Unix socket, ASGI's scope has no server."""
    request = scope("/api/v1/flags/", [("x-environment-key", environment.api_key)])
    request["server"] = None
    assert (await send_request(fast_path, request))[0] == 200


def counting_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware that reads the database, such as one that finds the tenant by the host."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        response.headers["X-Environments"] = str(Environment.objects.count())
        return response

    return middleware


def unused_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    raise MiddlewareNotUsed


async def test_read_path__middleware_reads_the_database__passed_to_django_and_logged_once(
    environment: Environment, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MIDDLEWARE = [f"{__name__}.counting_middleware", *settings.MIDDLEWARE]
    application = read_path.read_path(ASGIHandler())
    for path, query in (("/api/v1/flags/", ""), ("/api/v1/identities/", "identifier=ada"), ("/api/v1/flags/", "")):
        request = scope(path, [("x-environment-key", environment.api_key)], query=query)
        assert read_path.shortcut(request) is None
        status, headers, _ = await send_request(application, request)
        assert (status, headers["x-environments"]) == (200, "1")
    assert [record.getMessage().count("middleware_failed") for record in caplog.records].count(1) == 1


async def test_read_path__unused_middleware__ignored(
    fast_path: Application, environment: Environment, settings: Any
) -> None:
    settings.MIDDLEWARE = [f"{__name__}.unused_middleware", *settings.MIDDLEWARE]
    status, headers, _ = await send_request(
        fast_path, scope("/api/v1/flags/", [("x-environment-key", environment.api_key)])
    )
    assert (status, headers["x-frame-options"]) == (200, "DENY")


async def test_read_path__any_number_of_hosts_and_origins__memory_is_bounded() -> None:
    """Clients without a valid key can send them too."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100):
            middleware_headers(scope("/api/v1/flags/", [("origin", f"https://{number}.{'x' * 30_000}")]))
            middleware_headers(scope("/api/v1/flags/", [("x-forwarded-port", "1" * 30_000 + str(number))]))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000


@contextmanager
def blocked(target: Any, name: str, environment_id: Callable[..., int], blocked_id: int) -> Iterator[threading.Event]:
    """Block calls of this function for this environment until the end. The event is set when a call is blocked."""
    real, started, released = getattr(target, name), threading.Event(), threading.Event()

    def call(*arguments: Any, **options: Any) -> Any:
        if environment_id(*arguments) == blocked_id:
            started.set()
            assert released.wait(PATIENCE)
        return real(*arguments, **options)

    with mock.patch.object(target, name, call):
        try:
            yield started
        finally:
            released.set()


async def test_i13_read_path__document_of_one_tenant_is_being_built__no_other_read_waits(
    fast_path: Application, environment: Environment, production: Environment
) -> None:
    await Identity.objects.acreate(environment=production, identifier="ada")
    slow, key = [("x-environment-key", each.api_key) for each in (environment, production)]
    flags, identity = scope("/api/v1/flags/", [key]), scope("/api/v1/identities/", [key], query="identifier=ada")
    assert [(await send_request(fast_path, each))[0] for each in (flags, identity)] == [200, 200]
    with blocked(document, "build", lambda row: row.version.environment_id, environment.pk) as started:
        waiting = asyncio.create_task(send_request(fast_path, scope("/api/v1/flags/", [slow])))
        assert await asyncio.to_thread(started.wait, PATIENCE)
        for each in (flags, identity, flags):
            async with asyncio.timeout(PATIENCE):
                assert (await send_request(fast_path, each))[0] == 200
        assert not waiting.done()
    assert (await waiting)[0] == 200


async def test_i13_read_path__evaluation_for_one_tenant_is_running__flags_of_others_do_not_wait(
    fast_path: Application, environment: Environment, production: Environment
) -> None:
    await Identity.objects.acreate(environment=environment, identifier="ada")
    slow, key = [("x-environment-key", each.api_key) for each in (environment, production)]
    evaluated: Callable[..., int] = lambda compiled, *arguments: compiled.document["id"]  # noqa: E731
    with blocked(CompiledEnvironment, "identity", evaluated, environment.pk) as started:
        request = scope("/api/v1/identities/", [slow], query="identifier=ada")
        waiting = asyncio.create_task(send_request(fast_path, request))
        assert await asyncio.to_thread(started.wait, PATIENCE)
        # The first read builds the document.
        for _ in range(2):
            async with asyncio.timeout(PATIENCE):
                assert (await send_request(fast_path, scope("/api/v1/flags/", [key])))[0] == 200
        assert not waiting.done()
    assert (await waiting)[0] == 200


@pytest.mark.parametrize("path, query", [("/api/v1/flags/", ""), ("/api/v1/identities/", "identifier=ada")])
async def test_read_path__one_environment_fails__others_of_the_batch_are_answered(
    path: str, query: str, environment: Environment, production: Environment, closed_runtime: None
) -> None:
    for each in (environment, production):
        await Identity.objects.acreate(environment=each, identifier="ada")
    left: list[Any] = []

    async def django(request: Message, receive: Any, send: Any) -> None:
        left.append(request)
        await send({"type": "http.response.start", "status": 500, "headers": []})

    real = document.build

    def build(environment_row: document.EnvironmentRow, **options: Any) -> document.VersionedDocument:
        if environment_row.version.environment_id == environment.pk:
            raise KeyError("a row that cannot be")
        return real(environment_row, **options)

    application = read_path.read_path(django)
    requests = [
        scope(path, [("x-environment-key", each.api_key)], query=query) for each in (environment, production) * 20
    ]
    with mock.patch.object(document, "build", build):
        received = await asyncio.gather(*(send_request(application, request) for request in requests))
    assert [status for status, _, _ in received] == [500, 200] * 20
    assert len(left) == 20


@pytest.mark.parametrize("path, query", [("/api/v1/flags/", ""), ("/api/v1/identities/", "identifier=ada")])
async def test_read_path__database_unavailable__503_without_django(
    fast_path: Application, environment: Environment, path: str, query: str
) -> None:
    request = scope(path, [("x-environment-key", environment.api_key), ("origin", "https://shop.example")], query=query)
    with mock.patch.object(authentication, "clients_by_key", side_effect=OperationalError("gone")):
        status, headers, body = await send_request(fast_path, request)
    assert (status, headers["retry-after"], headers["access-control-allow-origin"]) == (503, "1", "*")
    assert "database" in json.loads(body)["detail"]


async def test_read_path__database_connection_was_closed__read_on_a_new_one(
    fast_path: Application, environment: Environment
) -> None:
    found = await sync_to_async(authentication.clients_by_key)([environment.api_key])
    with mock.patch.object(authentication, "clients_by_key", side_effect=[OperationalError("closed"), found]):
        status, _, _ = await send_request(
            fast_path, scope("/api/v1/flags/", [("x-environment-key", environment.api_key)])
        )
    assert status == 200


async def test_read_path__database_connection_was_closed_before_a_build__built_on_a_new_one(
    fast_path: Application, environment: Environment
) -> None:
    """Happens after a restart of the database."""
    real, calls = document.read_environment_row, []

    def closed_at_first(environment_id: int) -> document.EnvironmentRow:
        calls.append(environment_id)
        if len(calls) == 1:
            raise OperationalError("closed")
        return real(environment_id)

    with mock.patch.object(document, "read_environment_row", closed_at_first):
        status, _, _ = await send_request(
            fast_path, scope("/api/v1/flags/", [("x-environment-key", environment.api_key)])
        )
    assert (status, len(calls)) == (200, 2)


async def test_i13_read_path__many_builds_of_one_organisation__organisations_take_turns(
    fast_path: Application, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = await Organisation.objects.acreate(name="others")
    theirs = await Project.objects.acreate(name="theirs", organisation=others)
    many = [await Environment.objects.acreate(name=f"cold {number}", project=project) for number in range(5)]
    one = await Environment.objects.acreate(name="one", project=theirs)
    real, built = document.read_environment_row, []
    first, go_on = threading.Event(), threading.Event()

    def counted(environment_id: int) -> document.EnvironmentRow:
        built.append(environment_id)
        first.set()
        assert go_on.wait(PATIENCE)
        return real(environment_id)

    def read(environment: Environment) -> "asyncio.Task[Received]":
        return asyncio.create_task(
            send_request(fast_path, scope("/api/v1/flags/", [("x-environment-key", environment.api_key)]))
        )

    with mock.patch.object(document, "read_environment_row", counted):
        reads = [read(environment) for environment in many]
        assert await asyncio.to_thread(first.wait, PATIENCE)
        reads.append(read(one))
        await eventually(lambda: len(runtime.current().get(read_path.ReadBatches)._builds._pending) == len(many))
        go_on.set()
        received = await asyncio.gather(*reads)
    assert [status for status, _, _ in received] == [200] * 6
    assert built.index(one.pk) == 1


async def test_i13_read_path__many_slow_identities__split_into_batches(
    fast_path: Application, environment: Environment, production: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_path, "BATCH_EVALUATION_SECONDS", 0.0)
    for each, number in ((environment, 5), (production, 1)):
        for index in range(number):
            await Identity.objects.acreate(environment=each, identifier=f"identity-{index}")
    requests = [
        scope("/api/v1/identities/", [("x-environment-key", each.api_key)], query=f"identifier=identity-{index}")
        for each, number in ((environment, 5), (production, 1))
        for index in range(number)
    ]
    with mock.patch.object(read_path, "evaluate", side_effect=read_path.evaluate) as reads:
        received = await asyncio.gather(*(send_request(fast_path, request) for request in requests))
    assert [status for status, _, _ in received] == [200] * 6
    assert reads.call_count >= 3


async def test_run__expensive_environment__database_connection_released_while_waiting(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other requests need the pool's connections meanwhile."""

    class Result(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            return connections["default"].connection

    monkeypatch.setattr(isolation, "_expensive_environments", {environment.pk})
    monkeypatch.setattr(isolation, "submit_to_evaluation_process", lambda *arguments: Result())
    version = document.Version.of(environment)

    def run() -> Any:
        assert Environment.objects.exists()
        return isolation.run(version, 1, partial(answer, Read(FLAGS, False)))

    assert await sync_to_async(run)() is None


@pytest.mark.parametrize("failure, status", [(isolation.TookTooLong, 422), (Busy, 503), (ProcessLost, 503)])
async def test_read_path__evaluation_process_raises__same_error_as_the_view(
    full_application: Application,
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    failure: Any,
    status: int,
) -> None:
    monkeypatch.setattr(isolation, "_expensive_environments", {environment.pk})
    refused: Future[Any] = Future()
    refused.set_exception(failure())
    monkeypatch.setattr(isolation, "submit_to_evaluation_process", lambda *arguments: refused)
    await Identity.objects.acreate(environment=environment, identifier="ada")
    request = scope("/api/v1/identities/", [("x-environment-key", environment.api_key)], query="identifier=ada")
    found, right = await send_request(full_application, request), await send_request(django_application, request)
    assert (found[0], json.loads(found[2])) == (right[0], json.loads(right[2])) == (status, json.loads(right[2]))
    for name in ("retry-after", "content-type", "allow"):
        assert found[1].get(name) == right[1].get(name)
