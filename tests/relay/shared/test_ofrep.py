"""OFREP's evaluations and streams by a relay, with the bytes of ``realtime.ofrep``.

tests/ofrep has the tests of the mapping, tests/doors compares invalid requests, single flags, and answers by ASGI.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from realtime import ofrep
from realtime.evaluation import CompiledEnvironment
from realtime.ofrep import Evaluations
from realtime.reads.read import OFREP, Read
from tests.ofrep import protocol
from tests.ofrep.conftest import Client
from tests.support import sse
from tests.support.patience import PATIENCE
from tests.support.relay import RelayServer
from tests.support.upstream import Environment, Upstream, seconds

ADA = {"targetingKey": "ada", "plan": "pro"}
STREAMS = "/ofrep/v1/streams/{key}"
ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def hiding(upstream: Upstream) -> Environment:
    """An environment that hides disabled flags, and ignores traits of client-side keys. Its gate is closed."""
    made = upstream.add_environment("hiding")
    made.update(allow_client_traits=False, hide_disabled_flags=True, project__enable_realtime_updates=False)
    return made


@pytest.fixture(scope="module")
def empty(upstream: Upstream) -> Environment:
    """An environment without a document."""
    made = upstream.add_environment("empty")
    made.answer = 500
    return made


@pytest.fixture(scope="module")
def stopped(upstream: Upstream) -> Environment:
    """An environment of an organisation that is not served."""
    made = upstream.add_environment("stopped")
    made.update(project__organisation__stop_serving_flags=True)
    return made


@pytest.fixture(scope="module")
def relay(
    upstream: Upstream,
    shop: Environment,
    hiding: Environment,
    empty: Environment,
    stopped: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RelayServer]:
    folder = tmp_path_factory.mktemp("relay")
    configuration = {"allow_origins": [ORIGIN]}
    environments = (shop, hiding, empty, stopped)
    with RelayServer(
        folder, upstream.api_url, *environments, configuration=configuration, REALTIME_REPEAT_SECONDS="0"
    ) as relay:
        yield relay


@pytest.fixture
def client_of(relay: RelayServer) -> Callable[..., Client]:
    """A function that returns the client with a key: ``client_of(key, headers)``."""
    return lambda key, headers=None: Client(relay.url, key, headers or {})


@pytest.fixture
def client(client_of: Callable[..., Client], shop: Environment) -> Client:
    return client_of(shop.key)


def expected(environment: Environment, context: Any, flag: str | None = None, *, server_side: bool = False) -> bytes:
    """The body for this environment's document."""
    document: Any = environment.document
    if server_side:
        # As in ``identities/`` of the relay.
        document = {**document, "hide_disabled_flags": False}
    evaluations = Evaluations(CompiledEnvironment(document), environment.version)
    body, streaming = json.dumps({"context": context}).encode(), document["project"]["enable_realtime_updates"]
    read = Read(OFREP, server_side, flag, body=body, streaming_enabled=streaming)
    return ofrep.answer(read, "", environment.version, evaluations).body


def test_all__kinds_of_keys_and_contexts__bytes_of_the_document(
    client_of: Callable[..., Client], shop: Environment, hiding: Environment
) -> None:
    for environment in (shop, hiding):
        for context in (ADA, {"targetingKey": "bob"}, {"targetingKey": "bob", "plan": "pro"}):
            bearer = {"Authorization": f"Bearer {environment.server_key}"}
            answers = [(client_of(environment.key), False), (client_of(environment.server_key), True)]
            for client, server_side in [*answers, (client_of("", bearer), True)]:
                answer = client.all(context)
                assert answer.content == expected(environment, context, server_side=server_side)
                assert answer.headers["Content-Type"] == "application/json"
    names = {flag["key"] for flag in client_of(hiding.key).all({"targetingKey": "bob"}).json()["flags"]}
    assert names == {"colour", "layout"}


def test_key__unknown_or_without_a_document__401_or_500(client_of: Callable[..., Client], empty: Environment) -> None:
    for flag in ("", "banner"):
        for key in ("", "unknown"):
            answer = client_of(key).send({"context": ADA}, flag)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        answer = client_of(empty.key).send({"context": ADA}, flag)
        assert (answer.status_code, answer.headers["Retry-After"]) == (500, "2")


def test_key__organisation_is_not_served__403(client_of: Callable[..., Client], stopped: Environment) -> None:
    for flag in ("", "banner"):
        for key in (stopped.key, stopped.server_key):
            assert client_of(key).send({"context": ADA}, flag).status_code == 403


def test_path_and_method__others__404_and_405(relay: RelayServer, shop: Environment) -> None:
    for method, path, status in (
        ("POST", "flags/", 404),
        ("POST", "flagsbanner", 404),
        ("GET", "flags", 405),
        ("GET", "flags/banner", 405),
        ("OPTIONS", "flags", 405),
    ):
        answer = relay.request(method, f"/ofrep/v1/evaluate/{path}", headers={"X-API-Key": shop.key}, json={})
        assert answer.status_code == status, (method, path)
        assert answer.headers.get("Allow") == ("POST" if status == 405 else None)


def test_etag__same_context__304_until_the_document_changes(
    client_of: Callable[..., Client], relay: RelayServer, shop: Environment
) -> None:
    client = client_of(shop.key)
    etag = client.all().headers["ETag"]
    known = {"If-None-Match": etag}

    unchanged = client.all(**known)
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
    assert "Content-Type" not in unchanged.headers
    assert client.all({"targetingKey": "bob"}, **known).status_code == 200
    assert client_of(shop.server_key).all(**known).status_code == 200

    with relay.connect(shop) as stream:
        before = stream.next_event().updated_at
        shop.change()
        relay.post(shop)
        stream.event_after(before)
    assert client.all(**known).status_code == 200


def test_event_streams__gate__in_the_answer_while_it_is_open(
    client_of: Callable[..., Client], shop: Environment, hiding: Environment
) -> None:
    path = STREAMS.format(key=shop.key)
    for key in (shop.key, shop.server_key):
        answer = client_of(key, {"Host": "attacker.example"}).all()
        assert answer.json()["eventStreams"] == [{"type": "sse", "endpoint": {"requestUri": path}}]
    assert "eventStreams" not in client_of(hiding.key).all().json()


@pytest.mark.slow
def test_event_streams__streaming_always__ignore_the_switch(
    start_relay: Callable[..., RelayServer], upstream: Upstream, hiding: Environment
) -> None:
    relay = start_relay(hiding, RELAY_STREAMING="always")
    for key in (hiding.key, hiding.server_key):
        (stream,) = Client(relay.url, key).all().json()["eventStreams"]
        assert stream["endpoint"]["requestUri"] == STREAMS.format(key=hiding.key)


@pytest.mark.slow
def test_event_streams__server_side_key_in_place_of_the_client_side_key__not_in_the_answer(
    start_relay: Callable[..., RelayServer], upstream: Upstream, shop: Environment
) -> None:
    pair = {"server_side_key": shop.server_key, "client_side_key": shop.server_key}
    relay = start_relay(configuration={"environment_key_pairs": [pair]})
    assert "eventStreams" not in Client(relay.url, shop.server_key).all().json()


@pytest.mark.slow
def test_any_request__valid_or_not__answer_of_the_protocol(relay: RelayServer, shop: Environment) -> None:
    for key in (shop.key, shop.server_key):
        statuses = protocol.explore(relay.url, key)
        print(statuses)
        assert {200, 400, 404} <= set(statuses)


def test_cors__allowed_origin__may_send_the_headers_and_read_the_etag(client: Client) -> None:
    names = "content-type,authorization,x-api-key,if-none-match"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": names}
    url = f"{client.url}/ofrep/v1/evaluate/flags"
    preflight = requests.options(url, headers={**asked, "Origin": ORIGIN}, timeout=PATIENCE)

    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    assert preflight.headers["Access-Control-Allow-Headers"] == names
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    answers = [
        client.all(Origin=ORIGIN),
        client.send({}, Origin=ORIGIN),
        client.send({"context": ADA}, "banner", Origin=ORIGIN),
    ]
    etag = answers[0].headers["ETag"]
    for answer in [*answers, client.all(Origin=ORIGIN, **{"If-None-Match": etag})]:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert {"etag", "retry-after"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert "Access-Control-Allow-Origin" not in client.all(Origin="https://other.example").headers


def test_stream__change__event_with_the_version_that_is_served(
    client: Client, relay: RelayServer, shop: Environment
) -> None:
    with sse.connect(relay.port, shop.key, path=STREAMS) as stream:
        assert stream.next_block()
        first = protocol.check_event(stream.next_event().fields["data"])
        shop.change(
            colour=(True, "blue" if client.flags({"targetingKey": "bob"})["colour"]["value"] == "red" else "red")
        )
        relay.post(shop)
        event = stream.next_event()
    data = protocol.check_event(event.fields["data"])

    assert (data["type"], data["etag"]) == ("refetchEvaluation", str(seconds(shop.version)))
    assert first["etag"] < data["etag"] == event.fields["id"]
    answer = client.all()
    assert answer.json()["metadata"]["version"] == data["etag"]
    assert answer.content == expected(shop, ADA)
