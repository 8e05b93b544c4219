"""Evaluations by OFREP: the mapping of flags, invalid requests, keys, conditional requests, and that nothing is stored.

tests/doors compares the fast path's answers with Django's.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.ofrep.conftest import ADA, BOB, Client, with_flags
from tests.support.api import Tenant

STATIC = {
    "on": {"value": True, "reason": "STATIC", "variant": "enabled"},
    "off": {"value": False, "reason": "STATIC", "variant": "disabled"},
    "text": {"value": "red", "reason": "STATIC", "variant": "enabled"},
    "text-off": {"reason": "DISABLED", "variant": "disabled"},
    "json": {"value": '{"a": 1}', "reason": "STATIC", "variant": "enabled"},
    "number": {"value": 42, "reason": "STATIC", "variant": "enabled"},
    "boolean": {"value": False, "reason": "STATIC", "variant": "enabled"},
    "split": {"value": "first", "reason": "SPLIT", "variant": "variant-a"},
    "banner": {"value": "plain", "reason": "STATIC", "variant": "enabled"},
}
EXPECTED = {name: {"key": name, **evaluation} for name, evaluation in STATIC.items()}
FOR_PROS = {"key": "banner", "value": "for pros", "reason": "TARGETING_MATCH", "variant": "enabled"}

INVALID: list[tuple[Any, str]] = [
    (b"", "PARSE_ERROR"),
    (b"{", "PARSE_ERROR"),
    (b"[]", "PARSE_ERROR"),
    (b'{"context": {"targetingKey": "a", "n": NaN}}', "PARSE_ERROR"),
    (b'{"context": {"targetingKey": "a", "n": 1e999}}', "PARSE_ERROR"),
    (b'{"context": {"targetingKey": "\\ud800"}}', "PARSE_ERROR"),
    (b'{"context": {"targetingKey": "\xff"}}', "PARSE_ERROR"),
    (b'{"context": ' + b"[" * 2000, "PARSE_ERROR"),
    ({}, "INVALID_CONTEXT"),
    ({"context": "ada"}, "INVALID_CONTEXT"),
    ({"context": {"targetingKey": 7}}, "INVALID_CONTEXT"),
    ({"context": {"targetingKey": "a" * 2001}}, "INVALID_CONTEXT"),
    ({"context": {}}, "TARGETING_KEY_MISSING"),
    ({"context": {"targetingKey": ""}}, "TARGETING_KEY_MISSING"),
]


def test_all__flags_of_every_kind__mapped_to_evaluations(client: Client, tenant: Tenant) -> None:
    answer = client.all(BOB).json()

    assert {flag["key"]: flag for flag in answer["flags"]} == EXPECTED
    assert answer["metadata"] == {"version": str(tenant.version())}
    assert client.flags(ADA) == {**EXPECTED, "banner": FOR_PROS}


def test_all__attributes_that_cannot_be_traits__ignored(client: Client) -> None:
    context = {**ADA, "nested": {"plan": ["x"]}, "list": [1], "nothing": None, "age": 41.5, "\u00e9": True}

    assert client.flags(context)["banner"] == FOR_PROS


def test_one__each_flag__evaluation_of_the_bulk_answer_with_the_version(client: Client, tenant: Tenant) -> None:
    for name, evaluation in client.flags(ADA).items():
        answer = client.send({"context": ADA}, name)

        assert answer.json() == {**evaluation, "metadata": {"version": str(tenant.version())}}
    for name in ("x y/z", "x\ny", "x/", "\u00e9"):
        missing = client.send({"context": ADA}, quote(name))
        assert missing.status_code == 404
        assert (missing.json()["key"], missing.json()["errorCode"]) == (name, "FLAG_NOT_FOUND")


@pytest.mark.parametrize(("body", "code"), INVALID, ids=range(len(INVALID)))
def test_invalid_request__error_code_of_the_protocol(client: Client, body: Any, code: str) -> None:
    for flag in ("", "text", "missing"):
        answer = client.send(body, flag)

        assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
        assert answer.json().get("key", "") == flag


def test_key__kind_and_header__decide(client: Client, tenant: Tenant) -> None:
    server_key = tenant.environment.server_key
    with_server_key = Client(client.url, server_key).all().json()
    bearer = Client(client.url, "", {"Authorization": f"bearer {server_key}"})

    assert "secret" in {flag["key"] for flag in with_server_key["flags"]}
    assert bearer.all().json() == with_server_key
    assert client.send({"context": ADA}, "secret").status_code == 404
    for key, headers in (("", {}), ("unknown", {}), ("", {"Authorization": f"Token {server_key}"})):
        for flag in ("", "text"):
            answer = Client(client.url, key, headers).send({"context": ADA}, flag)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_key__organisation_is_not_served__403(
    fresh_tenant: Tenant, server: Any, clients_of: Callable[[Tenant], list[Client]]
) -> None:
    server.manage(
        "shell",
        "--verbosity=0",
        "-c",
        "from organisations.models import Organisation\n"
        f"Organisation.objects.filter(pk={fresh_tenant.organisation}).update(stop_serving_flags=True)",
    )
    for client in clients_of(fresh_tenant):
        assert client.all().status_code == 403


def test_traits__environment_allows_none_of_client_keys__only_those_of_server_keys(
    fresh_tenant: Tenant, clients_of: Callable[[Tenant], list[Client]]
) -> None:
    tenant = with_flags(fresh_tenant)
    tenant.api.patch(f"environments/{tenant.environment.key}/", allow_client_traits=False)
    for client in clients_of(tenant):
        with_server_key = Client(client.url, tenant.environment.server_key, by_django=client.by_django)
        assert client.flags(ADA)["banner"] == EXPECTED["banner"]
        assert with_server_key.flags(ADA)["banner"] == FOR_PROS


def test_method__not_post__405(client: Client) -> None:
    answer = requests.get(f"{client.url}/ofrep/v1/evaluate/flags", headers={"X-API-Key": client.key}, timeout=10)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")


def test_etag__same_context_and_version__304(client: Client) -> None:
    etag = client.all().headers["ETag"]

    for known in (etag, f'"x", W/{etag}'):
        answer = client.all(**{"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert client.all(BOB, **{"If-None-Match": etag}).status_code == 200
    assert client.send({"context": ADA}, "text", **{"If-None-Match": etag}).status_code == 200


def test_etag__anything_that_the_answer_depends_on_changes__200(
    fresh_tenant: Tenant, clients_of: Callable[[Tenant], list[Client]]
) -> None:
    tenant, environment = with_flags(fresh_tenant), fresh_tenant.environment
    client = clients_of(tenant)[0]
    feature = tenant.api.get(f"projects/{tenant.project}/features/?search=banner")["results"][0]["id"]
    identity = tenant.api.post(f"environments/{environment.key}/identities/", identifier="ada")["id"]
    changes: list[Callable[[], Any]] = [
        lambda: tenant.change(feature, enabled=False),
        # Silent: it sends no event.
        lambda: tenant.api.post(
            f"environments/{environment.key}/identities/{identity}/featurestates/", feature=feature, enabled=False
        ),
        lambda: tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=False),
    ]
    for change in changes:
        before = client.all()
        change()
        for each in clients_of(tenant):
            after = each.all(**{"If-None-Match": before.headers["ETag"]})
            assert after.status_code == 200
            assert after.json() != before.json()
    server_side = Client(client.url, environment.server_key)
    assert server_side.all(**{"If-None-Match": client.all().headers["ETag"]}).status_code == 200


def test_event_streams__gate__in_the_answer_while_it_is_open(
    fresh_tenant: Tenant, clients_of: Callable[[Tenant], list[Client]]
) -> None:
    environment = fresh_tenant.environment
    path = f"/ofrep/v1/streams/{environment.key}"
    for client in clients_of(fresh_tenant):
        for key in (environment.key, environment.server_key):
            answer = Client(client.url, key, {"Host": "attacker.example"}, client.by_django).all()
            if answer.status_code == 200:
                assert answer.json()["eventStreams"] == [{"type": "sse", "endpoint": {"requestUri": path}}]
                assert "attacker" not in answer.text
    fresh_tenant.api.patch(f"projects/{fresh_tenant.project}/", enable_realtime_updates=False)
    for client in clients_of(fresh_tenant):
        assert "eventStreams" not in client.all().json()


def test_cors__page_of_another_origin__may_send_the_headers_and_read_the_etag(client: Client) -> None:
    origin = {"Origin": "https://shop.example"}
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authorization,x-api-key,if-none-match",
    }
    preflight = requests.options(f"{client.url}/ofrep/v1/evaluate/flags", headers=origin | asked, timeout=10)

    allowed = {name.strip() for name in preflight.headers["Access-Control-Allow-Headers"].split(",")}
    assert allowed.issuperset(asked["Access-Control-Request-Headers"].split(","))
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    answer = client.all(**origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed.issuperset({"etag", "retry-after"})


def test_evaluation__new_identity_and_traits__nothing_is_stored(client: Client, tenant: Tenant) -> None:
    client.all({"targetingKey": "new", "plan": "pro"})

    assert tenant.api.get(f"environments/{tenant.environment.key}/identities/?q=new")["results"] == []
