"""Failures of the upstream, of documents and of keys: what the relay keeps serving, reports and logs."""

import json
import resource
import stat
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client

from realtime.relay.redis_storage import DOCUMENTS
from tests.relay.test_versions import NEW, assert_silent, newest
from tests.support.redis import Redis
from tests.support.relay import TOKEN, RelayServer, by_name, pairs
from tests.support.sse import End
from tests.support.upstream import DOCUMENT, Answer, Environment, Upstream, body, held, seconds, truncated

StartRelay = Callable[..., RelayServer]

READINESS = ("/proxy/health", "/proxy/health/readiness", "/health")

# Documents are offered to the storage again after 5 s.
STORED_SECONDS = 20.0

POLLING = {"api_poll_frequency_seconds": 1}


def changed(document: dict[str, Any], **fields: Any) -> bytes:
    """The document's JSON with other fields; None removes one."""
    copy = {**deepcopy(document), **fields}
    return json.dumps({name: value for name, value in copy.items() if value is not None}).encode()


def invalid(shop: Environment) -> dict[str, Answer]:
    """Responses that are not the environment's document."""
    newer = {"updated_at": "2027-01-01T00:00:00+00:00"}
    states = deepcopy(shop.document["feature_states"])
    del states[0]["feature"]["name"]
    return {
        "truncated": truncated(shop),
        "no JSON": body(b"<html>"),
        "no JSON in UTF-8": body(b"\xff"),
        "empty": body(b""),
        "a list": body(b"[]"),
        "an error": body(b'{"detail": "no"}'),
        "another environment's": body(changed(shop.document, **newer, api_key="another")),
        "no project": body(changed(shop.document, **newer, project=None)),
        "no feature states": body(changed(shop.document, **newer, feature_states=None)),
        "a feature without a name": body(changed(shop.document, **newer, feature_states=states)),
        "feature states that are no list": body(changed(shop.document, **newer, feature_states={"a": 1})),
        "deep": body(b"[" * 100_000),
        "500": 500,
        "404": 404,
        "304 without a document": 304,
    }


def documents(relay: RelayServer) -> list[Path]:
    """The files of stored documents. Others have no secrets."""
    found = list(relay.state.glob("*.document"))
    assert found
    return found


def stored_names(relay: RelayServer) -> set[str]:
    """The client-side keys of the environments with a stored document."""
    return {json.loads(path.read_bytes().partition(b"\n")[2])["api_key"] for path in documents(relay)}


@pytest.mark.slow
def test_document__not_the_environments__refused_and_the_last_good_one_served(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    good = shop.document
    with relay.connect(shop) as stream:
        before = newest(stream)
        for name, answer in invalid(shop).items():
            shop.answers.append(answer)
            version = shop.change(banner=(True, name))
            fetched = len(upstream.received(DOCUMENT))
            relay.post(shop)
            # The relay asks again, and gets the new document.
            event = stream.event_after(before)
            assert event.updated_at == seconds(version), name
            before = event.updated_at
            assert len(upstream.received(DOCUMENT)) == fetched + 2, name
            assert relay.flags(shop)["banner"] == (True, name)
        shop.answer = body(b"{")
        shop.change(banner=(True, "never"))
        relay.post(shop)
        upstream.wait_for_next(DOCUMENT)
        assert relay.flags(shop)["banner"] == (True, name)
        assert_silent(stream, before)
    assert good["api_key"] == "shop"


def test_start__upstream_away__serves_once_it_is_there(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    upstream.stop()
    relay = start_relay(shop, configuration=POLLING)
    assert relay.request("GET", "flags/", shop.key).status_code == 503
    for path in READINESS:
        answer = relay.request("GET", path)
        assert answer.status_code == 503
        assert {name: answer.json()[name] for name in ("status", "reason", "last_successful_update")} == {
            "status": "error",
            "reason": "environment document(s) not updated.",
            "last_successful_update": None,
        }
    assert relay.request("GET", "/proxy/health/liveness").status_code == 200
    with relay.connect(shop) as stream:
        stream.next_comment()
        upstream.start()
        assert stream.next_event().updated_at == seconds(shop.version)
    relay.process.wait_until(lambda: relay.request("GET", "/proxy/health").status_code == 200)
    assert relay.flags(shop)["banner"] == (False, "old")


def test_state__upstream_away_at_the_next_start__last_document_from_disk(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    shop.change(banner=NEW)
    with relay.connect(shop) as stream:
        before = newest(stream)
        relay.post(shop)
        stream.event_after(before)
        relay.process.kill()
    upstream.stop()
    files = [*documents(relay), *relay.state.glob("*.sqlite3*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(relay.state.stat().st_mode) == 0o700

    relay.start()

    assert relay.flags(shop)["banner"] == NEW
    assert relay.request("GET", DOCUMENT, shop.server_key).json() == shop.document
    with relay.connect(shop) as stream:
        assert newest(stream) == seconds(shop.version)


@pytest.mark.slow
def test_state__older_document_upstream_after_a_restart__never_served(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    older = shop.document
    shop.change(banner=NEW)
    relay = start_relay(shop)
    relay.stop()
    shop.document = older
    relay.start()
    upstream.wait_for(DOCUMENT, 2)
    assert relay.flags(shop)["banner"] == NEW


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_state__damaged_file__document_from_the_upstream(
    start_relay: StartRelay, shop: Environment, content: bytes
) -> None:
    relay = start_relay(shop)
    relay.stop()
    for path in documents(relay):
        path.write_bytes(content)
    relay.start()
    assert relay.flags(shop)["banner"] == (False, "old")


@pytest.mark.slow
def test_state__disk_was_full_or_files_were_deleted__document_stored_again(
    start_relay: StartRelay, shop: Environment
) -> None:
    """Without another change of the document."""
    relay = start_relay(shop)
    limits = resource.prlimit(relay.process.pid, resource.RLIMIT_FSIZE)
    with relay.connect(shop) as stream:
        before = newest(stream)
        resource.prlimit(relay.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        shop.change(banner=NEW)
        relay.post(shop)
        assert stream.event_after(before).updated_at == seconds(shop.version)
    relay.process.wait_for_log("relay_storage_unavailable")
    resource.prlimit(relay.process.pid, resource.RLIMIT_FSIZE, limits)
    relay.process.wait_until(lambda: b'"new"' in documents(relay)[0].read_bytes(), timeout=STORED_SECONDS)
    assert relay.log.count("relay_storage_unavailable") == 1

    documents(relay)[0].unlink()
    relay.process.wait_until(lambda: len(list(relay.state.glob("*.document"))) == 1, timeout=STORED_SECONDS)


@pytest.mark.slow
def test_redis__restarted_empty__document_stored_again(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    with Redis() as redis:
        first = start_relay(shop, REDIS_URL=redis.url)
        redis.stop()
        redis.start()
        with Client.from_url(redis.url) as client:
            first.process.wait_until(lambda: client.hlen(DOCUMENTS) == 1, timeout=STORED_SECONDS)
        first.process.kill()
        upstream.stop()
        second = start_relay(shop, folder="second", REDIS_URL=redis.url)
        assert second.flags(shop)["banner"] == (False, "old")


@pytest.mark.slow
def test_redis__upstream_away_at_the_start__last_document_from_redis(
    start_relay: StartRelay, upstream: Upstream, shop: Environment, redis: Redis
) -> None:
    first = start_relay(shop, REDIS_URL=redis.url)
    shop.change(banner=NEW)
    with first.connect(shop) as stream:
        before = newest(stream)
        first.post(shop)
        stream.event_after(before)
    first.stop()
    upstream.stop()

    second = start_relay(shop, folder="second", REDIS_URL=redis.url)

    assert second.flags(shop)["banner"] == NEW


@pytest.mark.slow
def test_redis__away__serves_and_delivers(start_relay: StartRelay, shop: Environment) -> None:
    with Redis() as redis:
        relay = start_relay(shop, REDIS_URL=redis.url)
        with relay.connect(shop) as stream:
            before = newest(stream)
            redis.stop()
            shop.change(banner=NEW)
            # The posted version is not stored, so Flagsmith is asked to repeat it.
            assert relay.post(shop) in (202, 503)
            assert stream.event_after(before).updated_at == seconds(shop.version)
            assert relay.flags(shop)["banner"] == NEW


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 403])
def test_upstream__refuses_the_key__logged_once_shown_in_health_and_serves(
    start_relay: StartRelay, upstream: Upstream, shop: Environment, status: int
) -> None:
    relay = start_relay(shop, configuration=POLLING)
    shop.answer = status
    upstream.wait_for(DOCUMENT, len(upstream.received(DOCUMENT)) + 4)

    assert relay.flags(shop)["banner"] == (False, "old")
    refusals = [line for line in relay.log.splitlines() if "shop" in line and str(status) in line]
    assert len(refusals) == 1, relay.log
    assert "ser.shop" not in relay.log
    for path in ("/proxy/health", "/health/readiness"):
        health = relay.request("GET", path)
        assert (health.status_code, str(status) in health.text, "ser.shop" in health.text) == (200, True, False), path
    # Accepted again.
    shop.answer = None
    shop.change(banner=NEW)
    relay.process.wait_until(lambda: relay.flags(shop)["banner"] == NEW)
    relay.process.wait_until(lambda: str(status) not in relay.request("GET", "/health/readiness").text)


@pytest.mark.slow
def test_health__all_documents_fetched__200_with_the_age(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    for path in (*READINESS, "/proxy/health/readiness/", "/health/readiness", "/health/readiness/"):
        assert relay.request("GET", path).status_code == 200, path
    report = relay.request("GET", "/proxy/health/readiness").json()
    assert (report["status"], report["reason"]) == ("ok", None)
    assert report["last_successful_update"]
    assert "age_seconds" in relay.request("GET", "/health/readiness").text


@pytest.mark.slow
@pytest.mark.parametrize("grace, status", [(1, 503), (None, 200)])
def test_health__upstream_away_longer_than_the_grace_period__503_unless_it_is_null(
    start_relay: StartRelay, upstream: Upstream, shop: Environment, grace: int | None, status: int
) -> None:
    """The period is the interval of polls and the grace period of each environment."""
    grace_period = {"environment_update_grace_period_seconds": grace}
    relay = start_relay(shop, configuration={**POLLING, "health_check": grace_period})
    last = relay.request("GET", "/proxy/health").json()["last_successful_update"]
    upstream.stop()
    stale = "environment document(s) stale."
    if status == 503:
        relay.process.wait_until(lambda: relay.request("GET", "/proxy/health").status_code == 503)
        report = relay.request("GET", "/proxy/health").json()
        assert (report["status"], report["reason"]) == ("error", stale)
        assert report["last_successful_update"] >= last
    else:
        relay.process.wait_for_log("error_fetching_document")
        assert relay.request("GET", "/proxy/health").status_code == 200
    assert relay.flags(shop)["banner"] == (False, "old")
    assert relay.request("GET", "/health/liveness").status_code == 200


@pytest.mark.slow
def test_health__one_of_two_environments_fails__not_updated(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    blog = upstream.add_environment("blog")
    blog.answer = 500
    relay = start_relay(shop, blog)
    assert relay.request("GET", "/proxy/health").status_code == 503
    assert relay.flags(shop)["banner"] == (False, "old")


@pytest.mark.slow
def test_upstream__does_not_answer__reads_continue(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    blog = upstream.add_environment("blog")
    relay = start_relay(shop, blog, configuration={**POLLING, "api_poll_timeout_seconds": 30})
    shop.answer = held(shop)
    upstream.wait_for_next(DOCUMENT, shop.server_key)
    with relay.connect(blog) as stream:
        before = newest(stream)
        blog.change(banner=NEW)
        relay.post(blog)
        stream.event_after(before)
    assert relay.flags(blog)["banner"] == NEW
    assert relay.flags(shop)["banner"] == (False, "old")


@pytest.mark.parametrize("signalled", [True, False], ids=["SIGHUP", "changed file"])
def test_keys__added_removed_and_replaced__other_streams_stay_open(
    start_relay: StartRelay, upstream: Upstream, shop: Environment, signalled: bool
) -> None:
    blog, news = upstream.add_environment("blog"), upstream.add_environment("news")
    relay = start_relay(shop, blog)
    with relay.connect(shop) as stream, relay.connect(blog) as removed:
        before = newest(stream)
        newest(removed)
        # The client-side key of shop stays, its server-side key is a new one.
        upstream.environments["ser.replaced"] = shop
        del upstream.environments[shop.server_key]
        old_key, shop.server_key = shop.server_key, "ser.replaced"
        relay.write(environment_key_pairs=pairs(shop, news))
        if signalled:
            relay.reload()

        relay.process.wait_until(lambda: relay.request("GET", "flags/", news.key).status_code == 200)
        relay.process.wait_until(lambda: relay.request("GET", "flags/", blog.key).status_code == 401)
        assert relay.request("GET", DOCUMENT, old_key).status_code == 401
        assert relay.request("GET", DOCUMENT, "ser.replaced").status_code == 200
        assert_silent(removed)
        with relay.connect(blog) as unknown:
            assert unknown.status == 200
            assert not unknown.next_block().is_event  # type: ignore[union-attr]
        shop.change(banner=NEW)
        relay.post(shop)
        assert stream.event_after(before).updated_at == seconds(shop.version)
    assert {each.key for each in upstream.received(DOCUMENT)[-1:]} == {"ser.replaced"}
    # The document of the removed key contains what only its servers may read.
    relay.process.wait_until(lambda: stored_names(relay) == {shop.key, news.key})


@pytest.mark.slow
def test_keys__removed_while_the_relay_is_stopped__kept_document_is_removed(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, upstream.add_environment("blog"))
    relay.stop()
    assert stored_names(relay) == {"shop", "blog"}
    relay.write(environment_key_pairs=pairs(shop))
    relay.start()
    assert stored_names(relay) == {"shop"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", ["{", '{"environment_key_pairs": [{"server_side_key": "456", "client_side_key": "a"}]}']
)
def test_keys__wrong_file_on_reload__old_configuration_and_one_log_line(
    start_relay: StartRelay, shop: Environment, content: str
) -> None:
    relay = start_relay(shop)
    with relay.connect(shop) as stream:
        before = newest(stream)
        relay.file.write_text(content)
        relay.reload()
        relay.process.wait_for_log("configuration")
        shop.change(banner=NEW)
        relay.post(shop)
        assert stream.event_after(before).updated_at == seconds(shop.version)
        assert relay.flags(shop)["banner"] == NEW
    assert relay.process.returncode is None


@pytest.mark.slow
def test_shutdown__open_streams__end_cleanly(start_relay: StartRelay, shop: Environment) -> None:
    relay = start_relay(shop)
    streams = [relay.connect(shop) for _ in range(10)]
    for stream in streams:
        newest(stream)
    assert relay.stop() == 0
    assert {stream.end() for stream in streams} == {End.CLEAN}


@pytest.mark.slow
def test_shutdown__no_streams__ends_at_once(start_relay: StartRelay, shop: Environment) -> None:
    relay = start_relay(shop, REALTIME_DRAIN_SECONDS="600")
    relay.flags(shop)
    assert relay.stop() == 0


@pytest.mark.slow
def test_metrics__changes_and_failures__are_counted(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, REALTIME_METRICS_TOKEN=TOKEN)
    shop.answers.append(500)
    shop.change(banner=NEW)
    with relay.connect(shop) as stream:
        before = newest(stream)
        relay.post(shop)
        stream.event_after(before)
        relay.flags(shop)
        text = relay.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    for word in ("document_age", "fetch", "upstream", "behind", "stream"):
        assert word in text, word
    assert by_name(relay.request("GET", "flags/", shop.key).json())["banner"] == NEW
    assert relay.request("GET", "/version").status_code == 200
