"""The SDK API of a relay in one process, without a server.

Expensive environments are evaluated in a thread, and no other environment waits for them.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from realtime import ofrep
from realtime.evaluation import CompiledEnvironment
from realtime.relay import api, document, evaluator
from realtime.relay.api import API
from realtime.relay.configuration import Configuration, KeyPair
from realtime.relay.directory import Directory
from realtime.relay.environments import Environments
from realtime.relay.evaluator import Evaluator
from realtime.relay.responding import Origins
from realtime.relay.upstream import Upstream
from realtime.relay.usage import Usage
from realtime.types import EnvironmentKey, Message, Receive, Scope, Send
from tests.support.relay import by_name
from tests.support.upstream import sample_document, state

SLOW, SHOP, CLOSED = EnvironmentKey("slow"), EnvironmentKey("shop"), EnvironmentKey("closed")

PAIRS = tuple(KeyPair(f"ser.{key}", key) for key in (SLOW, SHOP, CLOSED))

# Each further letter takes twice the time.
PATTERN, TEXT = "^(a|aa)+$", "a" * 60 + "!"


def slow_document() -> dict[str, Any]:
    content = sample_document(SLOW)
    condition = {"operator": "REGEX", "property_": "text", "value": PATTERN}
    rules = [{"type": "ALL", "rules": [], "conditions": [condition]}]
    override = state(1, "banner", True, "slow", feature_segment={"priority": 1})
    content["project"]["segments"].append({"id": 9, "name": "slow", "rules": rules, "feature_states": [override]})
    return content


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("not a request of the API")


@pytest.fixture
async def sdk_api(tmp_path: Path, closed_runtime: None) -> AsyncIterator[API]:
    """An API with a slow environment, a usual one, and one in which clients set no traits."""
    configuration = Configuration(PAIRS)
    upstream = Upstream(configuration)
    environments = Environments(configuration, upstream, Directory(tmp_path))
    closed = {**sample_document(CLOSED), "allow_client_traits": False}
    for key, content in ((SLOW, slow_document()), (SHOP, sample_document(SHOP)), (CLOSED, closed)):
        environments.by_client_key[key].held = document.receive(key, json.dumps(content).encode(), None)
    evaluation, usage = Evaluator(), Usage(upstream)
    yield API(environments, Origins(("*",)), evaluation, usage, None)
    await environments.close()
    await usage.close()
    await upstream.close()


@pytest.fixture
async def client(sdk_api: API) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(api.with_api(lambda: sdk_api, nothing), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay/api/v1/") as client:
        yield client


class Request:
    """A request on a connection: the channel of a GET, or the deferred response of a POST."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    def defer(self) -> "Request":
        return self

    def reply(self, head: bytes, body: bytes) -> None:
        self.answered.set_result((int(head[9:12]), body))

    async def status(self) -> int:
        return (await self.answered)[0]


def scope_of(path: str, key: str = SHOP, query: bytes = b"") -> Scope:
    return {"path": path, "query_string": query, "headers": [(b"x-environment-key", key.encode())]}


def get(sdk_api: API, scope: Scope) -> Request:
    answer, request = sdk_api.shortcut(scope), Request()
    assert answer is not None
    assert answer(cast(Any, request))
    return request


def post(sdk_api: API, scope: Scope, content: Any) -> Request:
    request = Request()
    assert sdk_api.post(scope, json.dumps(content).encode(), cast(Any, request))
    return request


async def identify(client: httpx.AsyncClient, key: str, **traits: Any) -> httpx.Response:
    posted = [{"trait_key": name, "trait_value": value} for name, value in traits.items()]
    return await client.post(
        "identities/", json={"identifier": "ben", "traits": posted}, headers={"X-Environment-Key": key}
    )


def banner(response: httpx.Response) -> Any:
    return by_name(response.json()["flags"])["banner"][1]


def colour(response: httpx.Response) -> Any:
    return by_name(response.json()["flags"])["colour"][1]


async def test_identities__slow_pattern__422_and_others_are_answered_meanwhile(client: httpx.AsyncClient) -> None:
    slow = asyncio.create_task(identify(client, SLOW, text=TEXT))
    await asyncio.sleep(0)
    # It is evaluated for half a second of processor time.
    for _ in range(5):
        assert (await identify(client, SHOP, plan="pro")).status_code == 200
    assert not slow.done()

    assert (await slow).status_code == 422
    # The environment's other identities get their flags, in the thread.
    assert banner(await identify(client, SLOW, text="aa")) == "slow"
    assert banner(await identify(client, SLOW)) == "old"
    get = {"headers": {"X-Environment-Key": SLOW}}
    assert (await client.get("identities/?identifier=ben&feature=banner", **get)).json()["feature"]["name"] == "banner"
    assert (await client.get("identities/?identifier=ben&feature=none", **get)).status_code == 404
    assert (await client.get("flags/", **get)).status_code == 200


@pytest.mark.slow
async def test_ofrep__slow_pattern__general_failure_and_others_are_answered_meanwhile(
    client: httpx.AsyncClient,
) -> None:
    async def evaluate(key: str, flag: str, text: str) -> httpx.Response:
        context = {"targetingKey": "ben", "text": text}
        url = f"http://relay{ofrep.PREFIX}{flag}"
        return await client.post(url, json={"context": context}, headers={"X-API-Key": key})

    for flag in ("", "/banner"):
        slow = asyncio.create_task(evaluate(SLOW, flag, TEXT))
        await asyncio.sleep(0)
        assert (await evaluate(SHOP, flag, TEXT)).status_code == 200
        assert not slow.done()

        assert ((await slow).status_code, (await slow).json()["errorCode"]) == (400, "GENERAL")
    assert (await evaluate(SLOW, "/banner", "aa")).json()["value"] == "slow"


async def test_identities__several_expensive_environments__take_turns(
    sdk_api: API, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator, "EVALUATION_SECONDS", 0.02)
    for key in (SLOW, SHOP):
        environment, _ = sdk_api._environments.by_key[key]
        assert environment.held is not None
        environment.held.is_expensive = True
    finished: list[EnvironmentKey] = []

    async def evaluate(key: EnvironmentKey) -> None:
        await identify(client, key, text=TEXT)
        finished.append(key)

    await asyncio.gather(*map(evaluate, [SLOW] * 5 + [SHOP]))
    assert finished.index(SHOP) <= 2


async def test_identities__fails_by_a_bug__500_and_the_next_is_answered(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: object) -> bytes:
        raise RuntimeError("bug")

    with monkeypatch.context() as patch:
        patch.setattr(CompiledEnvironment, "identity", failing)
        assert (await identify(client, SHOP)).status_code == 500
    assert (await identify(client, SHOP)).status_code == 200


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "flags", 200),
        ("HEAD", "flags/", 200),
        ("GET", "flags/?feature=", 200),
        ("GET", "flags/?feature=%ff", 422),
        ("DELETE", "flags/", 405),
        ("POST", "flags/", 405),
        ("GET", "traits/", 405),
        ("GET", "other/", 404),
        ("OPTIONS", "other/", 404),
        ("GET", "identities/", 422),
        ("GET", "identities/?identifier=a&identifier=b", 200),
        ("POST", "identities/", 422),
    ],
)
async def test_any_request__path_and_method__status(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path, headers={"X-Environment-Key": SHOP})

    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == "*"
    assert bool(response.content) == (method != "HEAD")


@pytest.mark.parametrize(
    "path, methods",
    [("flags/", "GET, HEAD"), ("identities/", "GET, HEAD, POST"), ("traits/", "POST"), ("traits/bulk/", "PUT, POST")],
)
async def test_any_request__405__names_the_methods(client: httpx.AsyncClient, path: str, methods: str) -> None:
    response = await client.patch(path, headers={"X-Environment-Key": SHOP})

    assert (response.status_code, response.headers["allow"]) == (405, methods)


@pytest.mark.parametrize(
    "body, place",
    [
        ([], ["body"]),
        ({}, ["body", "identifier"]),
        ({"identifier": True}, ["body", "identifier"]),
        ({"identifier": "a", "traits": {}}, ["body", "traits"]),
        ({"identifier": "a", "traits": [1]}, ["body", "traits", 0]),
        ({"identifier": "a", "traits": [{}]}, ["body", "traits", 0, "trait_key"]),
        ({"identifier": "a", "traits": [{"trait_key": 1}]}, ["body", "traits", 0, "trait_key"]),
        ({"identifier": "a", "traits": [{"trait_key": "k", "trait_value": []}]}, ["body", "traits", 0, "trait_value"]),
    ],
)
async def test_identities__wrong_body__422_with_the_place(client: httpx.AsyncClient, body: Any, place: Any) -> None:
    response = await client.post("identities/", json=body, headers={"X-Environment-Key": SHOP})

    assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, place)


BOB = {"identifier": "bob"}


@pytest.mark.parametrize(
    "method, path, body, refused",
    [
        ("POST", "traits/", 7, {"non_field_errors"}),
        ("POST", "traits/", {}, {"identity", "trait_key", "trait_value"}),
        ("POST", "traits/", {"identity": 7, "trait_key": "k", "trait_value": 1}, {"identity"}),
        ("POST", "traits/", {"identity": {}, "trait_key": "k", "trait_value": 1}, {"identity"}),
        ("POST", "traits/", {"identity": BOB, "trait_key": True, "trait_value": 1}, {"trait_key"}),
        ("POST", "traits/", {"identity": BOB, "trait_key": " ", "trait_value": 1}, {"trait_key"}),
        ("POST", "traits/", {"identity": BOB, "trait_key": "k", "trait_value": None}, {"trait_value"}),
        ("POST", "traits/", {"identity": BOB, "trait_key": "k", "trait_value": []}, {"trait_value"}),
        ("POST", "traits/", {"identity": BOB, "trait_key": "k", "trait_value": "x" * 2_001}, {"trait_value"}),
        ("PUT", "traits/bulk/", {}, {"non_field_errors"}),
        ("POST", "analytics/flags/", [], {"non_field_errors"}),
        ("POST", "http://relay/api/v2/analytics/flags/", [], {"non_field_errors"}),
        ("POST", "http://relay/api/v2/analytics/flags/", {}, {"evaluations"}),
        ("POST", "http://relay/api/v2/analytics/flags/", {"evaluations": {}}, {"evaluations"}),
    ],
)
async def test_post__wrong_body__400_with_the_names_of_the_fields(
    client: httpx.AsyncClient, method: str, path: str, body: Any, refused: set[str]
) -> None:
    response = await client.request(method, path, json=body, headers={"X-Environment-Key": SHOP})

    assert (response.status_code, {*response.json()}) == (400, refused)
    response = await client.request(method, path, json=body, headers={"X-Environment-Key": "unknown"})
    assert response.status_code == 401


async def test_traits__one_of_several_is_wrong__400_with_its_place(client: httpx.AsyncClient) -> None:
    right = {"identity": BOB, "trait_key": "k", "trait_value": None}
    response = await client.put("traits/bulk/", json=[right, 7], headers={"X-Environment-Key": SHOP})

    assert (response.status_code, response.json()[0], {*response.json()[1]}) == (400, {}, {"non_field_errors"})


async def test_analytics_v2__some_evaluations_are_wrong__400_with_their_places(client: httpx.AsyncClient) -> None:
    right = {"feature_name": "banner", "enabled_when_evaluated": True, "count": 1}
    wrong = {"feature_name": 7, "count": True, "identity_identifier": 7}
    headers = {"X-Environment-Key": SHOP}
    url = "http://relay/api/v2/analytics/flags/"
    response = await client.post(url, json={"evaluations": [right, wrong, 7]}, headers=headers)

    assert response.status_code == 400
    first, second, third = response.json()["evaluations"]
    fields = {"feature_name", "count", "enabled_when_evaluated", "identity_identifier"}
    assert (first, {*second}, {*third}) == ({}, fields, {"non_field_errors"})
    for identifier in ("x" * 2_001, "語" * 900, "x\0"):
        posted = {"evaluations": [right, {**right, "identity_identifier": identifier}]}
        refused = await client.post(url, json=posted, headers=headers)
        assert (refused.status_code, {*refused.json()["evaluations"][1]}) == (400, {"identity_identifier"})
    longest = {**right, "identity_identifier": "x" * 2_000}
    assert (await client.post(url, json={"evaluations": [longest]}, headers=headers)).status_code == 204
    # A feature that the environment does not have is ignored, as by Flagsmith.
    unknown = {**right, "feature_name": "unknown"}
    assert (await client.post(url, json={"evaluations": [right, unknown]}, headers=headers)).status_code == 204


async def test_traits__clients_may_set_none__400_unless_the_key_is_server_side(client: httpx.AsyncClient) -> None:
    trait = {"identity": BOB, "trait_key": "plan", "trait_value": "pro"}
    for method, path, body in (("POST", "traits/", trait), ("PUT", "traits/bulk/", [trait])):
        refused = await client.request(method, path, json=body, headers={"X-Environment-Key": CLOSED})
        assert (refused.status_code, "client key" in refused.text) == (400, True)
        accepted = await client.request(method, path, json=body, headers={"X-Environment-Key": f"ser.{CLOSED}"})
        assert (accepted.status_code, accepted.json()) == (200, body)
    # They are ignored.
    assert colour(await identify(client, CLOSED, plan="pro")) == "red"
    assert colour(await identify(client, f"ser.{CLOSED}", plan="pro")) == "gold"


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b'{"identifier": "\\ud800"}', b'{"identifier": NaN}', b"[" * 100_000, b"1" * 10_000]
)
async def test_identities__no_json__422(client: httpx.AsyncClient, content: bytes) -> None:
    response = await client.post("identities/", content=content, headers={"X-Environment-Key": SHOP})

    assert (response.status_code, response.json()["detail"][0]["type"]) == (422, "json_invalid")


async def test_identities__infinite_trait__422(client: httpx.AsyncClient) -> None:
    content = b'{"identifier": "a", "traits": [{"trait_key": "k", "trait_value": 1e999}]}'
    response = await client.post("identities/", content=content, headers={"X-Environment-Key": SHOP})

    assert response.status_code == 422


async def test_identities__no_identifier__as_flagsmith_equal_traits_get_equal_identifiers(
    client: httpx.AsyncClient,
) -> None:
    headers = {"X-Environment-Key": SHOP}
    traits = [{"trait_key": "plan", "trait_value": "pro"}, {"trait_key": "gone", "trait_value": None}]
    first = await client.post("identities/", json={"traits": traits}, headers=headers)
    second = await client.post("identities/", json={"identifier": "", "traits": traits[::-1]}, headers=headers)
    transient = [
        (await client.post("identities/", json={"transient": True}, headers=headers)).json()["identifier"]
        for _ in range(2)
    ]

    assert first.json() == second.json()
    assert [trait["trait_key"] for trait in first.json()["traits"]] == ["plan"]
    assert len({first.json()["identifier"], *transient}) == 3
    number = await client.post("identities/", json={"identifier": 7}, headers=headers)
    assert number.json()["identifier"] == "7"


async def test_body__larger_than_the_limit__413(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "identities/", content=b" " * (api.MAX_BODY_BYTES + 1), headers={"X-Environment-Key": SHOP}
    )

    assert response.status_code == 413


async def test_body__client_disconnects__no_response(client: httpx.AsyncClient) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    transport: Any = client._transport
    scope = {"type": "http", "method": "POST", "path": "/api/v1/identities/", "headers": [], "query_string": b""}
    await transport.app(scope, receive, send)
    assert sent == []


async def test_requests__before_the_start_and_of_other_paths__are_passed_on() -> None:
    passed: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope["path"])

    call = api.with_api(lambda: None, application)
    for path in ("/api/v1/flags/", "/metrics"):
        await call({"path": path}, None, None)

    assert passed == ["/api/v1/flags/", "/metrics"]


@pytest.mark.slow
async def test_slow_pattern__in_the_event_loop__blocks_for_milliseconds(client: httpx.AsyncClient) -> None:
    began = time.thread_time()
    response = await identify(client, SLOW, text=TEXT)

    assert response.status_code == 422
    # The rest is the thread's.
    assert time.thread_time() - began < 0.2


async def test_shortcuts__each_request__its_status(sdk_api: API) -> None:
    identities_path = "/api/v1/identities/"
    posted = {"identifier": "ben", "traits": [{"trait_key": "text", "trait_value": TEXT}]}

    assert await get(sdk_api, scope_of("/api/v1/flags")).status() == 200
    assert await get(sdk_api, scope_of("/api/v1/flags/", "unknown")).status() == 401
    assert await get(sdk_api, scope_of(identities_path, query=b"identifier=ben")).status() == 200
    assert await post(sdk_api, scope_of(identities_path), {"identifier": "ben"}).status() == 200
    assert await post(sdk_api, scope_of(identities_path), []).status() == 422
    # Later, from the thread.
    assert await post(sdk_api, scope_of(identities_path, SLOW), posted).status() == 422
    evaluation = {"context": {"targetingKey": "ben"}}
    of_ofrep: Scope = {"path": ofrep.PREFIX, "headers": [(b"x-api-key", SHOP.encode())]}
    assert await post(sdk_api, of_ofrep, evaluation).status() == 200
    assert sdk_api.shortcut(scope_of("/api/v1/other/")) is None
    assert not sdk_api.post(scope_of("/api/v1/flags/"), b"", cast(Any, None))


async def test_shortcuts__bug__500(sdk_api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object) -> bytes:
        raise RuntimeError("bug")

    monkeypatch.setattr(CompiledEnvironment, "identity", failing)
    path = "/api/v1/identities/"
    assert await get(sdk_api, scope_of(path, query=b"identifier=ben")).status() == 500
    assert await post(sdk_api, scope_of(path), {"identifier": "ben"}).status() == 500

    environment, _ = sdk_api._environments.by_key[SHOP]
    assert environment.held is not None
    environment.held.is_expensive = True
    assert await post(sdk_api, scope_of(path), {"identifier": "ben"}).status() == 500
