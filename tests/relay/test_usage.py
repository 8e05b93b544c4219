"""Usage and traits that SDKs send: what is forwarded to the upstream, and the responses."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.relay.test_versions import NEW, newest
from tests.support.relay import RelayServer, by_name
from tests.support.upstream import Environment, Upstream

StartRelay = Callable[..., RelayServer]

ANALYTICS = "analytics/flags/"
TRAIT = {"trait_key": "plan", "trait_value": "pro", "identity": {"identifier": "bob"}}


def evaluations(upstream: Upstream, header: str = "") -> Counter[tuple[str, ...]]:
    """The forwarded counts of v1, by this header's value and the feature's name."""
    counts: Counter[tuple[str, ...]] = Counter()
    for request in upstream.received(f"/v1/{ANALYTICS}"):
        label = (request.headers.get(header.lower(), ""),) if header else ()
        for name, count in request.json().items():
            counts[(*label, name)] += count
    return counts


def test_analytics__many_posts__few_forwarded_with_the_same_sums(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    blog = upstream.add_environment("blog")
    relay = start_relay(shop, blog)

    def post(number: int) -> None:
        answer = relay.request("POST", ANALYTICS, shop.key, json={"banner": 2, "colour": number % 2})
        # Kotlin's SDK takes an empty body for a failure.
        assert (answer.status_code, answer.content) == (200, b"null")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(post, range(100)))
    relay.request("POST", ANALYTICS, blog.key, json={"banner": 7})
    relay.stop()

    forwarded = upstream.received(f"/v1/{ANALYTICS}")
    assert {request.key for request in forwarded} == {shop.key, blog.key}
    of_shop = [request.json() for request in forwarded if request.key == shop.key]
    assert sum(each.get("banner", 0) for each in of_shop) == 200
    assert sum(each.get("colour", 0) for each in of_shop) == 50
    assert len(of_shop) < 20
    assert sum(request.json().get("banner", 0) for request in forwarded if request.key == blog.key) == 7


@pytest.mark.slow
def test_analytics__applications__counted_separately(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    for name in ("web", "app", "web"):
        relay.request("POST", ANALYTICS, shop.key, json={"banner": 1}, headers={"Flagsmith-Application-Name": name})
    relay.stop()

    assert evaluations(upstream, "Flagsmith-Application-Name") == {("web", "banner"): 2, ("app", "banner"): 1}


@pytest.mark.slow
def test_analytics_v2__evaluations__forwarded_with_the_same_sums(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    one = {"feature_name": "banner", "identity_identifier": "bob", "enabled_when_evaluated": True, "count": 3}
    other = {"feature_name": "banner", "enabled_when_evaluated": False, "count": 1}
    for _ in range(5):
        answer = relay.request("POST", "/api/v2/analytics/flags/", shop.key, json={"evaluations": [one, other]})
        assert answer.status_code in (200, 204)
    relay.stop()

    forwarded = upstream.received("/api/v2/analytics/flags/")
    assert 0 < len(forwarded) < 5
    counts: Counter[tuple[Any, ...]] = Counter()
    for request in forwarded:
        for each in request.json()["evaluations"]:
            key = (each["feature_name"], each.get("identity_identifier"), each["enabled_when_evaluated"])
            counts[key] += each["count"]
    assert counts == {("banner", "bob", True): 15, ("banner", None, False): 5}


@pytest.mark.slow
def test_analytics__upstream_refuses__neither_reads_nor_events_wait(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    upstream.statuses[ANALYTICS] = 500
    relay = start_relay(shop)
    with relay.connect(shop) as stream:
        before = newest(stream)
        for _ in range(50):
            assert relay.request("POST", ANALYTICS, shop.key, json={"banner": 1}).status_code == 200
        shop.change(banner=NEW)
        relay.post(shop)
        stream.event_after(before)
    assert relay.flags(shop)["banner"] == NEW


def test_traits__request_mode__flagsmiths_answers_used_and_not_stored(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    for method, path, sent in (
        ("POST", "traits/", TRAIT),
        ("PUT", "traits/bulk/", [TRAIT]),
        ("POST", "traits/bulk/", [TRAIT]),
    ):
        for _ in range(2):
            answer = relay.request(method, path, shop.key, json=sent)
            assert (answer.status_code, answer.json()) == (200, sent)
    posted = {"identifier": "bob", "traits": [{"trait_key": "plan", "trait_value": "pro"}]}
    assert by_name(relay.request("POST", "identities/", shop.key, json=posted).json()["flags"])["colour"] == (
        True,
        "gold",
    )
    read = relay.request("GET", "identities/?identifier=bob", shop.key).json()
    assert (read["traits"], by_name(read["flags"])["colour"]) == ([], (True, "red"))
    relay.stop()

    assert {request.path for request in upstream.requests} == {"/api/v1/environment-document/"}
    assert len([line for line in relay.log.splitlines() if "traits_not_stored" in line]) == 1


@pytest.mark.slow
def test_traits__forward_mode__sent_upstream_in_their_order(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, RELAY_TRAITS="forward")
    for value in range(5):
        assert relay.request("POST", "traits/", shop.key, json=TRAIT | {"trait_value": value}).status_code == 200
    posted = {"identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": "pro"}]}
    answer = relay.request("POST", "identities/", shop.key, json=posted)
    assert by_name(answer.json()["flags"])["colour"] == (True, "gold")
    assert relay.request("PUT", "traits/bulk/", shop.key, json=[]).json() == []
    transient = {**posted, "identifier": "guest", "transient": True}
    assert relay.request("POST", "identities/", shop.key, json=transient).status_code == 200
    relay.stop()

    sent = [request for request in upstream.requests if request.method != "GET"]
    assert {request.key for request in sent} == {shop.key}
    text = b"".join(request.body for request in sent).decode().replace(" ", "")
    values = [text.find(f'"trait_value":{value}') for value in range(5)]
    assert -1 not in values
    assert values == sorted(values)
    assert '"ada"' in text
    assert '"pro"' in text
    assert "guest" not in text


@pytest.mark.slow
def test_traits__forward_mode_and_upstream_away__bounded_and_reads_continue(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, RELAY_TRAITS="forward")
    upstream.stop()
    with ThreadPoolExecutor(8) as threads:
        statuses = set(
            threads.map(lambda _: relay.request("POST", "traits/", shop.key, json=TRAIT).status_code, range(2_000))
        )
    assert statuses == {200}
    assert relay.flags(shop)["banner"] == (False, "old")
