"""``queue-change`` by the shortcut and by ASGI: concurrent posts share a transaction. Failures of the database."""

import asyncio
import json
import random
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.db import OperationalError, connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.crypto import constant_time_compare
from structlog.testing import capture_logs

from core.middleware_headers import middleware_headers
from environments.models import Environment
from realtime.changes import publish
from realtime.hosts import EmbeddedHost
from realtime.models import ExternalEnvironment
from realtime.posted_versions import intake, queue_change
from realtime.posted_versions.queue_change import PostedVersion
from realtime.posted_versions.sql import SQLStore
from realtime.serving import bodies
from realtime.types import EnvironmentKey, EnvironmentState
from tests.support.events import recorded_events
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

TOKEN = "t0ken"
START = datetime(2026, 1, 1, tzinfo=UTC)

Answer = tuple[int, Any]

# Without limits of the project.
APPLICATION = bodies.limited_posts(get_asgi_application())
SHORTCUT = intake.shortcut(middleware_headers)


class Key:
    """An environment that is not in the database."""

    api_key = "external"


@pytest.fixture(autouse=True)
def token(settings: Any, closed_runtime: None) -> None:
    settings.SSE_AUTHENTICATION_TOKEN = TOKEN


def at(milliseconds: int) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


class Post:
    """An ASGI request with its body in these pieces. None: the client disconnects."""

    def __init__(self, pieces: Iterable[bytes | None], key: str = Key.api_key, token: str = TOKEN) -> None:
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": f"/sse/environments/{key}/queue-change",
            "raw_path": b"",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost"), (b"authorization", f"Token {token}".encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self.sent: list[dict[str, Any]] = []
        self._pieces = list(pieces)
        self.read = 0

    async def receive(self) -> dict[str, Any]:
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        self.read += 1
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def run(self) -> Answer:
        """Send it by the shortcut, and by ASGI if the shortcut leaves it to the application."""
        complete = b"".join(piece for piece in self._pieces if piece is not None)
        replied: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        deferred = mock.Mock(reply=lambda head, body: replied.set_result((head, body)))
        if None not in self._pieces and SHORTCUT(self.scope, complete, deferred):
            head, body = await replied
            return int(head.split()[1]), json.loads(body)
        return await self.run_by_asgi()

    async def run_by_asgi(self) -> Answer:
        await APPLICATION(self.scope, self.receive, self.send)
        if not self.sent:
            return 0, None
        body = b"".join(message.get("body", b"") for message in self.sent)
        return self.sent[0]["status"], json.loads(body)


def body_of(time: datetime) -> bytes:
    return json.dumps({"updated_at": time.isoformat()}).encode()


async def post(time: datetime, key: str = Key.api_key) -> Answer:
    return await Post([body_of(time)], key).run()


def stored() -> dict[str, datetime]:
    return dict(ExternalEnvironment.objects.values_list("key", "updated_at"))


async def test_intake__many_concurrent_posts__few_transactions_and_newest_versions() -> None:
    posts = [(f"key{number % 10}", at(number)) for number in range(200)]
    random.shuffle(posts)
    keys = [type("Of", (), {"api_key": f"key{number}"}) for number in range(10)]
    with (
        recorded_events(*keys) as recorded,
        mock.patch.object(SQLStore, "store_newer", autospec=True, side_effect=SQLStore.store_newer) as writes,
    ):
        answers = await asyncio.gather(*(post(time, key) for key, time in posts))
    assert answers == [(202, {})] * 200
    assert await sync_to_async(stored)() == {f"key{number}": at(190 + number) for number in range(10)}
    assert writes.call_count <= 3
    for number, key in enumerate(keys):
        assert recorded.of(key)[-1] == at(190 + number)
        assert len(recorded.of(key)) <= writes.call_count


async def test_intake__many_concurrent_posts_by_asgi__few_transactions() -> None:
    posts = [Post([body_of(at(number))], f"key{number}") for number in range(100)]
    with mock.patch.object(SQLStore, "store_newer", autospec=True, side_effect=SQLStore.store_newer) as writes:
        answers = await asyncio.gather(*(each.run_by_asgi() for each in posts), post(at(1)))
    assert answers == [(202, {})] * 101
    assert await sync_to_async(stored)() == {f"key{number}": at(number) for number in range(100)} | {Key.api_key: at(1)}
    # Of each one, as many posts as have arrived since the last one.
    assert writes.call_count <= 30


async def test_intake__store_hangs__503_before_flagsmith_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert queue_change.TIMEOUT_SECONDS < 2
    monkeypatch.setattr(queue_change, "TIMEOUT_SECONDS", 0.05)
    hanging = threading.Event()
    with mock.patch.object(EmbeddedHost, "accept_posted", side_effect=lambda times: hanging.wait(PATIENCE) and []):
        answers = await asyncio.gather(post(at(1)), Post([body_of(at(2))]).run_by_asgi())
        assert answers == [(503, queue_change.UNAVAILABLE)] * 2
        hanging.set()


async def test_intake__more_rows_than_one_statement_holds__all_are_stored() -> None:
    changes = [PostedVersion(EnvironmentKey(f"key{number}"), at(number)) for number in range(1_000)]
    await sync_to_async(queue_change.store)(changes)
    assert await sync_to_async(stored)() == {change.key: change.updated_at for change in changes}


async def test_intake__environment_of_our_database__its_own_version_is_published(environment: Environment) -> None:
    with recorded_events(environment, Key) as recorded:
        answers = await asyncio.gather(post(at(1), environment.api_key), post(at(2)))
    assert answers == [(202, {})] * 2
    await environment.arefresh_from_db()
    assert recorded.of(environment) == [environment.updated_at]
    assert recorded.of(Key) == [at(2)]
    assert await sync_to_async(stored)() == {Key.api_key: at(2)}


async def test_intake__accepted__published_after_the_commit() -> None:
    seen = []

    def published(states: Iterable[EnvironmentState]) -> None:
        seen.append((connection.in_atomic_block, stored()))

    with mock.patch.object(publish, "publish", published):
        assert await post(at(1)) == (202, {})
    assert seen == [(False, {Key.api_key: at(1)})]


async def test_intake__database_fails__503_for_all_pending_posts_and_later_posts_succeed() -> None:
    with mock.patch.object(EmbeddedHost, "accept_posted", side_effect=OperationalError("away")), capture_logs() as logs:
        for _ in range(2):
            by_asgi = Post([body_of(at(4))]).run_by_asgi()
            answers = await asyncio.gather(post(at(1)), post(at(2)), post(at(3), "other"), by_asgi)
            assert answers == [(503, queue_change.UNAVAILABLE)] * 4
        assert [line["event"] for line in logs] == ["changes_unwritable"]
        assert await sync_to_async(by_view)(at(1)) == (503, queue_change.UNAVAILABLE)
    assert await sync_to_async(stored)() == {}
    assert await asyncio.gather(post(at(2)), post(at(1))) == [(202, {})] * 2
    assert await sync_to_async(stored)() == {Key.api_key: at(2)}


def by_view(time: datetime) -> Answer:
    response = Client().post(
        f"/sse/environments/{Key.api_key}/queue-change",
        body_of(time),
        content_type="application/json",
        headers={"Authorization": f"Token {TOKEN}"},
    )
    return response.status_code, response.json()


async def test_intake__database_connection_closed__retries_and_accepts() -> None:
    await post(at(1))
    real, tries = EmbeddedHost.accept_posted, []

    def failing_once(host: EmbeddedHost, times: dict[EnvironmentKey, datetime]) -> list[EnvironmentState]:
        tries.append(times)
        if len(tries) == 1:
            raise OperationalError("the connection is closed")
        return real(host, times)

    with (
        mock.patch.object(EmbeddedHost, "accept_posted", failing_once),
        mock.patch.object(type(connections["default"]), "is_usable", return_value=False),
    ):
        assert await post(at(2)) == (202, {})
    assert len(tries) == 2
    assert await sync_to_async(stored)() == {Key.api_key: at(2)}


async def test_intake__every_retry_fails__503() -> None:
    dead = OperationalError("the connection is closed")
    with (
        mock.patch.object(EmbeddedHost, "accept_posted", side_effect=dead) as accept,
        mock.patch.object(type(connections["default"]), "is_usable", return_value=False),
    ):
        assert await post(at(1)) == (503, queue_change.UNAVAILABLE)
    assert accept.call_count == 2


async def test_intake__several_tokens__each_listed_one_is_accepted(settings: Any) -> None:
    settings.SSE_AUTHENTICATION_TOKEN = " old , new,"
    for number, token in enumerate(("old", "new")):
        assert (await Post([body_of(at(number))], token=token).run())[0] == 202
    for token in ("", "old,new", " old , new,", "old ,", TOKEN):
        assert await Post([body_of(at(5))], token=token).run() == (401, {"detail": "Invalid token."})
    settings.SSE_AUTHENTICATION_TOKEN = "new"
    assert (await Post([body_of(at(5))], token="old").run())[0] == 401
    assert await sync_to_async(stored)() == {Key.api_key: at(1)}
    settings.SSE_AUTHENTICATION_TOKEN = " , "
    assert (await Post([body_of(at(5))], token="").run())[0] == 404


async def test_intake__several_tokens__all_are_compared(settings: Any) -> None:
    settings.SSE_AUTHENTICATION_TOKEN = "one,two"
    for token in ("one", "two", "three"):
        with mock.patch(
            "realtime.posted_versions.queue_change.constant_time_compare", wraps=constant_time_compare
        ) as compare:
            await Post([body_of(at(1))], token=token).run()
        # The view, to which the fast path passes a wrong token, compares again.
        assert {call.args for call in compare.call_args_list} == {(token, "one"), (token, "two")}


async def test_intake__host_not_in_allowed_hosts__400(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["example.com"]
    assert (await Post([body_of(at(1))]).run())[0] == 400
    assert await sync_to_async(stored)() == {}


async def test_intake__body_in_pieces__accepted() -> None:
    body = body_of(at(1))
    assert await Post([body[:5], b"", body[5:]]).run_by_asgi() == (202, {})


async def test_intake__client_disconnects_during_the_body__nothing_is_stored() -> None:
    assert await Post([body_of(at(1))[:5], None]).run() == (0, None)
    assert await sync_to_async(stored)() == {}


async def test_intake__endless_body__413_after_one_megabyte() -> None:
    """Django would read the whole body."""
    call = Post([b" " * 65_536] * 1_000)
    status, answer = await call.run_by_asgi()
    assert (status, answer) == (413, {"detail": "The request's body is too large."})
    assert call.read <= 17


async def test_intake__same_keys_from_several_connections__versions_never_decrease() -> None:
    """Threads with a connection each, as in several processes."""
    keys = [EnvironmentKey(f"key{number}") for number in range(5)]
    failures: list[Exception] = []
    lowered: list[str] = []
    barrier = threading.Barrier(4)

    def write(seed: int) -> None:
        chosen = random.Random(seed)
        before: dict[str, datetime] = {}
        try:
            barrier.wait()
            for _ in range(25):
                order = chosen.sample(keys, len(keys))
                queue_change.store([PostedVersion(key, at(chosen.randrange(10_000))) for key in order])
                now = stored()
                lowered.extend(key for key, time in before.items() if now[key] < time)
                before = now
            queue_change.store([PostedVersion(key, at(20_000 + seed)) for key in keys])
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await sync_to_async(thread.join)()
    assert failures == []
    assert lowered == []
    assert await sync_to_async(stored)() == dict.fromkeys(keys, at(20_003))


def test_intake__keys_in_any_order__rows_are_written_in_the_same_order() -> None:
    """Two processes that lock rows in different orders could deadlock."""
    for order in (("one", "three", "two"), ("two", "three", "one")):
        with CaptureQueriesContext(connection) as queries:
            queue_change.store([PostedVersion(EnvironmentKey(key), at(1)) for key in order])
        written = next(query["sql"] for query in queries if query["sql"].lstrip().startswith("INSERT"))
        assert written.index("'one'") < written.index("'three'") < written.index("'two'")
