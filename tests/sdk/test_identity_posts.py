"""POSTs of ``identities/`` on the fast path: the same responses as Django's, and nothing is stored."""

import asyncio
import json
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app_analytics.meter import meter
from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature
from organisations.models import Organisation
from realtime import runtime
from realtime.types import Message
from sdk import read_path
from settings.asgi import django_application
from tests.sdk import generated
from tests.sdk.test_read_path import Received, scope, send_request

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("closed_runtime"),
]

URL = "/api/v1/identities/"


class Response:
    """The deferred response to a POST. Its result is None if it is left to Django."""

    def __init__(self) -> None:
        self.result: asyncio.Future[Received | None] = asyncio.get_running_loop().create_future()

    def reply(self, head: bytes, body: bytes) -> None:
        status_line, *lines = head.decode("latin-1").splitlines()
        headers = dict(line.split(": ", 1) for line in lines)
        headers["vary"] = ", ".join(sorted(word.strip().lower() for word in headers["vary"].split(",")))
        self.result.set_result((int(status_line.split()[1]), headers, body))

    def fall_back(self) -> None:
        self.result.set_result(None)


def request(key: str, **headers: str) -> Message:
    named = {"content-type": "application/json", "x-environment-key": key}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return scope(URL, named.items(), method="POST")


def encoded(identifier: str, transient: bool | None = None, **traits: Any) -> bytes:
    body = {"identifier": identifier, "traits": [{"trait_key": key, "trait_value": traits[key]} for key in traits]}
    return json.dumps(body if transient is None else {**body, "transient": transient}).encode()


async def fast_path(key: str, body: bytes, **headers: str) -> Received | None:
    """The response on the fast path. None: the request is left to Django."""
    response = Response()
    return await response.result if read_path.post_shortcut(dict(request(key, **headers)), body, response) else None


async def django(key: str, body: bytes, **headers: str) -> Received:
    return await send_request(django_application, request(key, content_length=str(len(body)), **headers), body)


def flags_and_traits(received: Received | None) -> tuple[list[Any], dict[str, Any]]:
    assert received is not None
    parsed = json.loads(received[2])
    values = [flag["feature_state_value"] for flag in parsed["flags"]]
    return values, {trait["trait_key"]: trait["trait_value"] for trait in parsed["traits"]}


@examples(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    spec=generated.environments(hide_sensitive_data=st.booleans()),
    identities=st.lists(generated.IDENTITIES, min_size=1, max_size=3),
    transient=st.sampled_from((None, False, True)),
    origin=st.booleans(),
)
def test_post__any_environment_and_identity__same_response_as_the_view(
    spec: generated.EnvironmentSpec,
    identities: list[tuple[str, dict[str, Any]]],
    transient: bool | None,
    origin: bool,
    transactional_db: None,
) -> None:
    key = EnvironmentAPIKey.objects.create(environment=generated.store(spec), name="server").key
    headers = {"origin": "https://shop.example"} if origin else {}

    async def compare() -> None:
        for identifier, traits in identities:
            body = encoded(identifier, transient, **traits)
            await django(key, body, **headers)  # Stores the identity and its traits.
            found = await fast_path(key, body, **headers)
            assert found == await django(key, body, **headers)
            assert found[0] == 200
        await runtime.current().close()

    asyncio.run(compare())


@pytest.mark.parametrize(
    "body",
    [
        encoded("new"),
        encoded("ada", plan="free"),
        encoded("ada", age="7"),
        encoded("ada", age=True),
        encoded("ada", plan=None),
        encoded("ada", other=1),
        encoded("ada", transient=False, other=1),
    ],
)
async def test_post__something_to_store__left_to_django(environment: Environment, body: bytes) -> None:
    await django(environment.api_key, encoded("ada", plan="pro", age=7))
    assert await fast_path(environment.api_key, body) is None
    await django(environment.api_key, body)
    assert await fast_path(environment.api_key, body) == await django(environment.api_key, body)


async def test_post__transient__evaluated_and_nothing_stored(environment: Environment, feature: Feature) -> None:
    received = await fast_path(environment.api_key, encoded("new", transient=True, plan="pro"))
    assert flags_and_traits(received) == ([None], {"plan": "pro"})
    assert not await Identity.objects.aexists()
    assert not await Trait.objects.aexists()


async def test_post__organisation_persists_no_traits__used_for_this_response(environment: Environment) -> None:
    await Identity.objects.acreate(environment=environment, identifier="ada")
    await Organisation.objects.aupdate(persist_trait_data=False)
    first, second = await asyncio.gather(
        fast_path(environment.api_key, encoded("ada", plan="pro")),
        fast_path(environment.api_key, encoded("ada", age=7)),
    )
    assert flags_and_traits(first)[1] == {"plan": "pro"}
    assert flags_and_traits(second)[1] == {"age": 7}


async def test_post__client_side_key_may_not_set_traits__ignored(environment: Environment) -> None:
    await Identity.objects.acreate(environment=environment, identifier="ada")
    await Environment.objects.aupdate(allow_client_traits=False)
    assert flags_and_traits(await fast_path(environment.api_key, encoded("ada", plan="pro")))[1] == {}


async def test_posts__equal_numbers_of_different_types__each_its_own_response(environment: Environment) -> None:
    """In one batch, in which equal requests share a response."""
    values = (1, True, 1.0)
    received = await asyncio.gather(
        *(fast_path(environment.api_key, encoded("new", transient=True, age=value)) for value in values)
    )
    assert [repr(flags_and_traits(each)[1]["age"]) for each in received] == ["1", "True", "1.0"]


async def test_post__answered__counted(environment: Environment, settings: Any) -> None:
    settings.ENABLE_API_USAGE_TRACKING = True
    with mock.patch.object(meter.thread, "start"):
        meter.counters.take()
        assert await fast_path(environment.api_key, encoded("new", transient=True))
        assert sum(meter.counters.take().requests.values()) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 2_000,
        b'{"identifier": "ada", "identifier": "bob"}',
        b'{"identifier": "ada\\ud800"}',
        b'{"identifier": "\xff"}',
        b'{"traits": []}',
        encoded(""),
        encoded("a\0"),
        encoded("a" * 2_001),
        encoded("語" * 1_000),
        b'{"identifier": 42}',
        b'{"identifier": "ada", "transient": "true"}',
        b'{"identifier": "ada", "transient": null}',
        b'{"identifier": "ada", "traits": null}',
        b'{"identifier": "ada", "traits": {}}',
        b'{"identifier": "ada", "traits": ["plan"]}',
        b'{"identifier": "ada", "traits": [{"trait_key": "plan"}]}',
        b'{"identifier": "ada", "traits": [{"trait_value": "pro"}]}',
        b'{"identifier": "ada", "traits": [{"trait_key": 1, "trait_value": "pro"}]}',
        b'{"identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": "pro", "transient": null}]}',
        b'{"identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": "pro", "other": 1}]}',
        b'{"identifier": "ada", "other": 1}',
        encoded("ada", None, **{"": 1}),
        encoded("ada", None, **{"k" * 201: 1}),
        encoded("ada", plan="v" * 2_001),
        encoded("ada", plan="v\0"),
        encoded("ada", plan=["pro"]),
        encoded("ada", plan=2**63),
        encoded("ada", plan=float("inf")),
        encoded("ada", plan=float("nan")),
    ],
)
async def test_post__unusual_body__left_to_django(environment: Environment, body: bytes) -> None:
    await Identity.objects.acreate(environment=environment, identifier="ada")
    assert await fast_path(environment.api_key, body) is None


async def test_post__too_many_traits__left_to_django(environment: Environment, settings: Any) -> None:
    settings.MAX_TRAITS_PER_IDENTITY = 1
    assert await fast_path(environment.api_key, encoded("new", transient=True, one=1)) is not None
    assert await fast_path(environment.api_key, encoded("new", transient=True, one=1, two=2)) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_encoding": "gzip"},
        {"x_environment_key": ""},
        {"x_environment_key": "unknown"},
        {"host": "elsewhere.example"},
    ],
)
async def test_post__unusual_headers__left_to_django(environment: Environment, headers: dict[str, str]) -> None:
    await Identity.objects.acreate(environment=environment, identifier="ada")
    assert await fast_path(environment.api_key, encoded("ada"), **headers) is None


@pytest.mark.parametrize("changes", [{"path": "/api/v1/identities/other"}, {"query_string": b"transient=true"}])
async def test_post__unusual_url__left_to_django(environment: Environment, changes: dict[str, Any]) -> None:
    await sync_to_async(Identity.objects.create)(environment=environment, identifier="ada")
    post = {**request(environment.api_key), **changes}
    assert not read_path.post_shortcut(post, encoded("ada"), Response())
