"""The Edge Proxy's promises: what its README, its documentation and its own tests say about requests and answers."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.relay import RelayServer, by_name
from tests.support.upstream import Environment, Upstream

ORIGIN = "https://www.example.com"


@pytest.fixture(scope="module")
def hidden(upstream: Upstream) -> Environment:
    """An environment whose project hides disabled flags."""
    made = upstream.add_environment("hidden")
    made.update(project__hide_disabled_flags=True)
    return made


@pytest.fixture(scope="module")
def away(upstream: Upstream) -> Environment:
    """An environment whose document the upstream has never sent."""
    made = upstream.add_environment("away")
    made.answer = 500
    return made


@pytest.fixture(scope="module")
def server_only(upstream: Upstream) -> Environment:
    """A pair whose client-side key is the server-side key."""
    made = upstream.add_environment("internal")
    made.key = made.server_key
    return made


@pytest.fixture(scope="module")
def relay(
    upstream: Upstream,
    shop: Environment,
    hidden: Environment,
    away: Environment,
    server_only: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RelayServer]:
    folder = tmp_path_factory.mktemp("relay")
    configuration = {"endpoint_caches": {"flags": {"use_cache": True}, "identities": {"use_cache": True}}}
    with RelayServer(folder, upstream.api_url, shop, hidden, away, server_only, configuration=configuration) as relay:
        yield relay


def unauthorized(key: str | None) -> dict[str, str]:
    return {"status": "unauthorized", "message": f"unknown key {key!r}"}


@pytest.mark.parametrize("path", ["flags/", "flags"])
def test_flags__client_key__state_of_each_feature_but_those_for_servers(
    relay: RelayServer, shop: Environment, path: str
) -> None:
    answer = relay.request("GET", path, shop.key)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    found = [
        ({name: flag["feature"][name] for name in ("id", "name", "type")}, flag["enabled"], flag["feature_state_value"])
        for flag in answer.json()
    ]
    assert found == [
        ({"id": 1, "name": "banner", "type": "STANDARD"}, False, "old"),
        ({"id": 2, "name": "colour", "type": "STANDARD"}, True, "red"),
        ({"id": 3, "name": "layout", "type": "MULTIVARIATE"}, True, "narrow"),
    ]


def test_flags__server_key__also_features_for_servers_and_disabled_ones(
    relay: RelayServer, shop: Environment, hidden: Environment, server_only: Environment
) -> None:
    for environment in (shop, hidden, server_only):
        flags = by_name(relay.request("GET", "flags/", environment.server_key).json())
        assert flags["internal"] == (True, "secret")
        assert flags["banner"] == (False, "old")
        identity = relay.request("POST", "identities/", environment.server_key, json={"identifier": "bob"}).json()
        assert {"internal", "banner"} <= set(by_name(identity["flags"]))
        one = relay.request("GET", "flags/?feature=internal", environment.server_key)
        assert (one.status_code, one.json()["feature_state_value"]) == (200, "secret")


def test_flags__disabled_flags_are_hidden__client_key_gets_enabled_ones(
    relay: RelayServer, hidden: Environment
) -> None:
    assert set(by_name(relay.request("GET", "flags/", hidden.key).json())) == {"colour", "layout"}
    identity = relay.request("POST", "identities/", hidden.key, json={"identifier": "bob", "traits": []}).json()
    assert set(by_name(identity["flags"])) == {"colour", "layout"}
    assert relay.request("GET", "flags/?feature=banner", hidden.key).status_code == 404
    assert relay.request("GET", "flags/?feature=banner", hidden.server_key).status_code == 200


def test_flags__one_feature__its_state_and_no_list(relay: RelayServer, shop: Environment) -> None:
    flag = relay.request("GET", "flags/?feature=layout", shop.key).json()

    assert (flag["feature"]["name"], flag["feature"]["type"]) == ("layout", "MULTIVARIATE")
    assert (flag["enabled"], flag["feature_state_value"]) == (True, "narrow")


@pytest.mark.parametrize("name", ["nothing", "internal"])
def test_flags__feature_that_does_not_exist_or_is_for_servers__404(
    relay: RelayServer, shop: Environment, name: str
) -> None:
    answer = relay.request("GET", f"flags/?feature={name}", shop.key)

    assert answer.status_code == 404
    assert answer.json() == {"status": "not_found", "message": f"feature '{name}' not found"}


ENDPOINTS = [
    ("GET", "flags/", None),
    ("GET", "flags/?feature=banner", None),
    ("GET", "identities/?identifier=bob", None),
    ("POST", "identities/", {"identifier": "bob"}),
    ("GET", "environment-document", None),
]


@pytest.mark.parametrize("key", ["nobody", "ser.nobody", None])
def test_any_endpoint__unknown_key__401(relay: RelayServer, key: str | None) -> None:
    for method, path, body in ENDPOINTS:
        answer = relay.request(method, path, key, json=body)
        assert (answer.status_code, answer.json()) == (401, unauthorized(key)), path


def test_any_endpoint__key_without_a_document__503(relay: RelayServer, away: Environment) -> None:
    """The Edge Proxy answers 401, which SDKs take for a wrong key."""
    for method, path, body in ENDPOINTS:
        answer = relay.request(method, path, away.server_key, json=body)
        assert answer.status_code == 503, path
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["status"] == "unavailable"


def test_identities__post_with_traits__evaluated_and_returned(relay: RelayServer, shop: Environment) -> None:
    traits = [
        {"trait_key": "plan", "trait_value": "pro"},
        {"trait_key": "age", "trait_value": 42},
        {"trait_key": "height", "trait_value": 1.75},
        {"trait_key": "member", "trait_value": True},
    ]
    answer = relay.request("POST", "identities/", shop.key, json={"identifier": "bob", "traits": traits})

    assert answer.status_code == 200
    body = answer.json()
    assert body["identifier"] == "bob"
    assert [{name: trait[name] for name in ("trait_key", "trait_value")} for trait in body["traits"]] == traits
    assert by_name(body["flags"]) == {"banner": (False, "old"), "colour": (True, "gold"), "layout": (True, "wide")}


@pytest.mark.parametrize(
    "body",
    [
        {"identifier": "bob"},
        {"identifier": "bob", "traits": []},
        {"identifier": "bob", "transient": True, "unknown": 1},
        {"identifier": "bob", "traits": [{"trait_key": "plan", "trait_value": "basic", "transient": True}]},
        {"identifier": "bob", "traits": [{"trait_key": "plan", "trait_value": None}, {"trait_key": "age"}]},
    ],
)
def test_identities__no_trait_of_a_segment__flags_of_the_environment(
    relay: RelayServer, shop: Environment, body: dict[str, Any]
) -> None:
    answer = relay.request("POST", "identities/", shop.key, json=body)

    assert answer.status_code == 200
    assert by_name(answer.json()["flags"])["colour"] == (True, "red")


def test_identities__get__flags_without_traits(relay: RelayServer, shop: Environment) -> None:
    for path in ("identities/?identifier=bob", "identities?identifier=bob&transient=true"):
        body = relay.request("GET", path, shop.key).json()
        assert (body["identifier"], body["traits"]) == ("bob", [])
        assert by_name(body["flags"])["layout"] == (True, "wide")


def test_identities__override__wins_for_its_identity(relay: RelayServer, shop: Environment) -> None:
    traits = [{"trait_key": "plan", "trait_value": "pro"}]
    posted = relay.request("POST", "identities/", shop.key, json={"identifier": "ada", "traits": traits}).json()

    assert by_name(posted["flags"])["banner"] == (True, "for ada")
    assert by_name(posted["flags"])["colour"] == (True, "gold")
    for identifier, expected in {"ada": (True, "for ada"), "bob": (False, "old")}.items():
        got = relay.request("GET", f"identities/?identifier={identifier}", shop.key).json()
        assert by_name(got["flags"])["banner"] == expected


def test_identities__post_without_content_type__parsed_as_json(relay: RelayServer, shop: Environment) -> None:
    answer = relay.request("POST", "identities/", shop.key, data=b'{"identifier": "bob"}')

    assert (answer.status_code, answer.json()["identifier"]) == (200, "bob")


@pytest.mark.parametrize(
    "body, place, kind",
    [
        (
            '{"identifier": "bob", "traits": [{"trait_key": "name", "trait_value": "%s"}]}' % ("a" * 2_001),
            ["body", "traits", 0, "trait_value"],
            "string_too_long",
        ),
        ('{"traits": []}', ["body", "identifier"], "missing"),
        ('{"identifier": "bob", "traits": [{"trait_value": 1}]}', ["body", "traits", 0, "trait_key"], "missing"),
        ('{"identifier": ["bob"]}', ["body", "identifier"], "string_type"),
        ("{", None, "json_invalid"),
        (None, ["query", "identifier"], "missing"),
    ],
    ids=["long value", "no identifier", "no key of a trait", "list as identifier", "no JSON", "no parameter"],
)
def test_identities__wrong_request__422_with_the_place(
    relay: RelayServer, shop: Environment, body: str | None, place: list[object] | None, kind: str
) -> None:
    answer = relay.request("GET" if body is None else "POST", "identities/", shop.key, data=body)

    assert answer.status_code == 422
    error = answer.json()["detail"][-1]
    assert error["type"] == kind
    assert error["msg"]
    assert place is None or error["loc"] == place


def test_document__server_key__upstreams_document(relay: RelayServer, shop: Environment) -> None:
    for path in ("environment-document", "environment-document/"):
        answer = relay.request("GET", path, shop.server_key)
        assert (answer.status_code, answer.json()) == (200, shop.document)


def test_document__client_key__401(relay: RelayServer, shop: Environment) -> None:
    """The Edge Proxy sends it. It has server-side features and all identities with overrides."""
    answer = relay.request("GET", "environment-document", shop.key)

    assert (answer.status_code, answer.json()) == (401, unauthorized(shop.key))


def test_answers__thousand_bytes__compressed_for_clients_that_accept_it(relay: RelayServer, shop: Environment) -> None:
    path, key = "environment-document", shop.server_key
    assert relay.request("GET", path, key, headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in relay.request("GET", path, key, headers={"Accept-Encoding": "identity"}).headers


def test_cors__default__any_origin_may_send_and_read(relay: RelayServer, shop: Environment) -> None:
    answer = relay.request("GET", "flags/", shop.key, headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", ORIGIN)
    assert "x-flagsmith-document-updated-at" in answer.headers["Access-Control-Expose-Headers"].lower()

    wanted = "x-environment-key, content-type, flagsmith-sdk-user-agent, sentry-trace"
    for method, path in (("GET", "flags/"), ("POST", "identities/"), ("POST", "analytics/flags/")):
        preflight = relay.request(
            "OPTIONS",
            path,
            headers={
                "Origin": ORIGIN,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": wanted,
            },
        )
        assert preflight.status_code in (200, 204)
        assert preflight.headers["Access-Control-Allow-Origin"] in ("*", ORIGIN)
        assert method in preflight.headers["Access-Control-Allow-Methods"]
        allowed = preflight.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
        assert set(wanted.replace(" ", "").split(",")) <= set(allowed)
        assert int(preflight.headers["Access-Control-Max-Age"]) >= 600


def test_liveness__always__200_without_a_body(relay: RelayServer) -> None:
    answer = relay.request("GET", "/proxy/health/liveness")

    assert (answer.status_code, answer.content) == (200, b"")
