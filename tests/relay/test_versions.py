"""Versions: their three sources, and the rule that an event is sent only when the relay serves that version (I3)."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from realtime.types import TICK, reads_as_newer
from tests.support.api import VERSION_HEADER
from tests.support.redis import Redis
from tests.support.relay import RelayServer, by_name
from tests.support.sse import Stream
from tests.support.upstream import DOCUMENT, Environment, Upstream, body, held, seconds

StartRelay = Callable[..., RelayServer]

NEW = (True, "new")

# An absent event cannot be awaited. All that would send it has happened before this wait.
SILENCE_SECONDS = 0.3


def assert_silent(stream: Stream, after: Decimal = Decimal(0)) -> None:
    """No event with a newer version. An older one may be repeated."""
    with pytest.raises(TimeoutError):
        stream.event_after(after, timeout=SILENCE_SECONDS)


def newest(stream: Stream) -> Decimal:
    """The version that a new stream gets at once."""
    return stream.next_event().updated_at


def test_post__document_is_held__event_header_and_document_have_this_version(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    with relay.connect(shop) as stream:
        assert newest(stream) == seconds(shop.version)
        # Within one second, in which a conditional request would get 304.
        version = shop.change(by=timedelta(milliseconds=10), banner=NEW)
        assert relay.post(shop) == 202

        assert stream.event_after(seconds(version) - Decimal("0.01")).updated_at == seconds(version)
    answers = [
        relay.request("GET", "flags/", shop.key),
        relay.request("GET", "identities/?identifier=bob", shop.key),
        relay.request("POST", "identities/", shop.key, json={"identifier": "bob"}),
    ]
    assert {Decimal(answer.headers[VERSION_HEADER]) for answer in answers} == {seconds(version)}
    assert relay.request("GET", DOCUMENT, shop.server_key).json() == shop.document
    assert by_name(answers[0].json())["banner"] == NEW


def test_post__upstream_has_not_answered__no_event_until_the_document_is_there(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    shop.answer = held(shop)
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.change(banner=NEW)
        assert relay.post(shop) == 202
        upstream.wait_for(DOCUMENT, 2)

        assert_silent(stream, before)
        assert relay.flags(shop)["banner"] == (False, "old")
        with relay.connect(shop) as late:
            assert newest(late) == before
        upstream.released.set()

        assert stream.event_after(before).updated_at == seconds(shop.version)
        assert relay.flags(shop)["banner"] == NEW


def test_post__upstreams_caches_are_stale__asks_again_unconditionally_and_sends_one_event(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.change(banner=NEW, stale=2)
        assert relay.post(shop) == 202

        assert stream.event_after(before).updated_at == seconds(shop.version)
        assert relay.flags(shop)["banner"] == NEW
    fetches = upstream.received(DOCUMENT)
    assert len(fetches) == 1 + 2 + 1
    assert [each for each in fetches if "if-modified-since" in each.headers] == []


@pytest.mark.slow
def test_post__version_between_two_stale_ones__each_event_is_served(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    """A cache may answer with a version that is newer than ours and older than the posted one."""
    relay = start_relay(shop)
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.change(banner=(True, "between"), stale=1)
        last = shop.change(banner=NEW, stale=2)
        assert relay.post(shop) == 202
        while before < seconds(last):
            before = stream.event_after(before).updated_at
            assert Decimal(relay.request("GET", "flags/", shop.key).headers[VERSION_HEADER]) >= before
        assert relay.flags(shop)["banner"] == NEW


@pytest.mark.slow
def test_post__many_posts_and_clients__one_fetch(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    streams = [relay.connect(shop) for _ in range(20)]
    known = [newest(stream) for stream in streams]
    shop.change(banner=NEW)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: relay.post(shop), range(40))) == {202}
        for stream, before in zip(streams, known, strict=True):
            stream.event_after(before)
            stream.close()
        assert all(flags["banner"] == NEW for flags in threads.map(lambda _: relay.flags(shop), range(40)))
    assert relay.post(shop) == 202
    assert len(upstream.received(DOCUMENT)) == 2


@pytest.mark.slow
def test_post__older_or_equal_version__at_most_one_fetch_and_no_event(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    """A task of Flagsmith that runs late posts an older version: nothing or something else may have changed."""
    relay = start_relay(shop)
    with relay.connect(shop) as stream:
        before = newest(stream)
        for version in (shop.version, shop.version - TICK):
            for _ in range(3):
                assert relay.post(shop, version) == 202
        upstream.wait_for(DOCUMENT, 2)
        assert_silent(stream, before)
        shop.change()
        relay.post(shop)
        assert stream.event_after(before).updated_at == seconds(shop.version)
    assert len(upstream.received(DOCUMENT)) == 3


@pytest.mark.slow
def test_post__upstreams_version_went_back_meanwhile__change_is_served_with_the_posted_version(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    """A task of Flagsmith that runs late has written the time of an earlier change, with the content of the newest."""
    relay = start_relay(shop)
    with relay.connect(shop) as stream:
        before = newest(stream)
        earlier = shop.version - TICK
        posted = shop.change(banner=NEW)
        shop.update(updated_at=earlier.isoformat())
        assert relay.post(shop, posted) == 202

        assert stream.event_after(before).updated_at == seconds(posted)
        assert relay.flags(shop)["banner"] == NEW
        document = relay.request("GET", DOCUMENT, shop.server_key).json()
        assert datetime.fromisoformat(document["updated_at"]) == posted
        # It is not fetched again, and the next change is found as usual.
        fetched = len(upstream.received(DOCUMENT))
        shop.update(updated_at=posted.isoformat())
        shop.change(banner=(True, "next"))
        relay.post(shop)
        assert stream.event_after(seconds(posted)).updated_at == seconds(shop.version)
        assert len(upstream.received(DOCUMENT)) == fetched + 1


@pytest.mark.slow
def test_post__wrong_token_or_unknown_key__refused(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop)
    shop.change()
    assert relay.post(shop, token="wrong") == 401
    stranger = Environment("nobody", "ser.nobody", shop.document)
    assert relay.post(stranger) == 202
    assert len(upstream.received(DOCUMENT)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"updated_at": 7}', b'{"updated_at": "soon"}'])
def test_post__wrong_body__400(start_relay: StartRelay, shop: Environment, body: bytes) -> None:
    relay = start_relay(shop)
    headers = {"Authorization": "Token publisher-t0ken"}
    path = f"/sse/environments/{shop.key}/queue-change"
    assert relay.request("POST", path, data=body, headers=headers).status_code == 400


@pytest.mark.slow
def test_document__older_than_ours__never_served(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, configuration={"api_poll_frequency_seconds": 1})
    older = shop.document
    shop.change(banner=NEW)
    with relay.connect(shop) as stream:
        before = newest(stream)
        if before < seconds(shop.version):
            before = stream.event_after(before).updated_at
        newer, shop.document = shop.document, older
        shop.is_conditional = False
        count = len(upstream.received(DOCUMENT))
        relay.post(shop, shop.version + timedelta(seconds=1, microseconds=1))
        upstream.wait_for(DOCUMENT, count + 3)

        assert relay.flags(shop)["banner"] == NEW
        assert relay.request("GET", DOCUMENT, shop.server_key).json() == newer
        assert_silent(stream, before)


@pytest.mark.slow
def test_version_of_a_flagsmith__read_as_newer_by_go__event_is_a_microsecond_lower(
    start_relay: StartRelay, shop: Environment
) -> None:
    version = shop.version + timedelta(seconds=1)
    while not reads_as_newer(version):
        version += TICK
    relay = start_relay(shop)
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.update(updated_at=version.isoformat())
        relay.post(shop)
        assert stream.event_after(before).updated_at == seconds(version - TICK)
    assert Decimal(relay.request("GET", "flags/", shop.key).headers[VERSION_HEADER]) == seconds(version)


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", ["2026-03-01T12:00:00.123456", "2026-03-01T13:00:00.123456+01:00", "2026-03-01T12:00:00Z"]
)
def test_post__naive_or_with_an_offset__the_same_moment(start_relay: StartRelay, shop: Environment, form: str) -> None:
    relay = start_relay(shop)
    moment = datetime.fromisoformat(form if form.endswith(("Z", "+01:00")) else f"{form}+00:00")
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.update(updated_at=moment.isoformat())
        path = f"/sse/environments/{shop.key}/queue-change"
        headers = {"Authorization": "Token publisher-t0ken"}
        assert relay.request("POST", path, json={"updated_at": form}, headers=headers).status_code == 202
        assert abs(stream.event_after(before).updated_at - seconds(moment)) <= Decimal("0.000001")


def test_polling__change_without_a_post__event_and_conditional_requests(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, configuration={"api_poll_frequency_seconds": 1})
    with relay.connect(shop) as stream:
        before = newest(stream)
        first, second = upstream.wait_for(DOCUMENT, 2)[:2]
        assert "if-modified-since" not in first.headers
        assert second.headers["if-modified-since"] == "Thu, 01 Jan 2026 12:00:00 GMT"
        shop.change(banner=NEW)

        assert stream.event_after(before).updated_at == seconds(shop.version)
        assert relay.flags(shop)["banner"] == NEW


@pytest.mark.slow
def test_polling__same_version_with_other_content__is_served(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    """A Flagsmith removes an identity override without a new version of the environment."""
    shop.is_conditional = False
    relay = start_relay(shop, configuration={"api_poll_frequency_seconds": 1})
    assert relay.request("GET", "identities/?identifier=ada", shop.key).json()["flags"][0]["enabled"] is True
    shop.update(identity_overrides=[])
    # The second request begins after the response to the first one has been used.
    upstream.wait_for(DOCUMENT, len(upstream.received(DOCUMENT)) + 2)

    assert relay.request("GET", "identities/?identifier=ada", shop.key).json()["flags"][0]["enabled"] is False


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_polling__304_for_a_minute__whole_document_is_fetched(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    """A second change within one second gets 304 for ever."""
    relay = start_relay(shop, configuration={"api_poll_frequency_seconds": 5})
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.change(by=timedelta(milliseconds=1), banner=NEW)
        assert stream.event_after(before, timeout=120).updated_at == seconds(shop.version)
    unconditional = [each for each in upstream.received(DOCUMENT) if "if-modified-since" not in each.headers]
    assert len(unconditional) == 2


@pytest.mark.slow
def test_polling__document_without_a_version__served_without_real_time(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    """As the Edge Proxy does: requests for it are unconditional."""
    document = deepcopy(shop.document)
    del document["updated_at"]
    shop.answer = body(json.dumps(document).encode())
    relay = start_relay(shop, configuration={"api_poll_frequency_seconds": 1})
    assert relay.flags(shop)["banner"] == (False, "old")
    assert all("if-modified-since" not in each.headers for each in upstream.wait_for(DOCUMENT, 3))


def test_upstreams_stream__event__fetched_and_passed_on(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, UPSTREAM_REALTIME_URL=f"{upstream.url}/")
    upstream.wait_for_streams(shop.key)
    with relay.connect(shop) as stream:
        before = newest(stream)
        for number in range(2):
            shop.change(banner=(True, f"value {number}"), stale=number)
            upstream.publish(shop)
            before = stream.event_after(before).updated_at
            assert before == seconds(shop.version)
            assert relay.flags(shop)["banner"] == (True, f"value {number}")
            # It connects again after an end.
            upstream.end_streams()
            upstream.wait_for(f"{shop.key}/stream", number + 2)
            upstream.wait_for_streams(shop.key)


@pytest.mark.slow
def test_upstreams_stream__missed_event__found_after_the_next_connect(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, UPSTREAM_REALTIME_URL=upstream.url)
    upstream.wait_for_streams(shop.key)
    with relay.connect(shop) as stream:
        before = newest(stream)
        upstream.stop()
        shop.change(banner=NEW)
        upstream.start()
        upstream.wait_for_streams(shop.key)
        # As servers do on each connect.
        upstream.publish(shop)
        assert stream.event_after(before).updated_at == seconds(shop.version)


@pytest.mark.slow
def test_upstreams_stream__unknown_bytes__are_ignored(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, UPSTREAM_REALTIME_URL=upstream.url)
    upstream.wait_for_streams(shop.key)
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.change(banner=NEW)
        for junk in (
            b"event: other\ndata: {}\n\n",
            b"event: environment_updated\ndata: no\n\n",
            b"\xff\n\n",
            b"id: 1\n",
        ):
            upstream.send(shop.key, junk)
        upstream.publish(shop)
        assert stream.event_after(before).updated_at == seconds(shop.version)


@pytest.mark.slow
def test_relay_behind_a_relay__event__passed_on_with_the_same_version(
    start_relay: StartRelay, upstream: Upstream, shop: Environment
) -> None:
    first = start_relay(shop)
    second = start_relay(
        shop,
        folder="second",
        configuration={"api_url": f"{first.url}/api/v1"},
        UPSTREAM_REALTIME_URL=first.url,
    )
    with second.connect(shop) as stream:
        before = newest(stream)
        shop.change(banner=NEW)
        assert first.post(shop) == 202
        assert stream.event_after(before).updated_at == seconds(shop.version)
        assert second.flags(shop)["banner"] == NEW
        assert second.request("GET", DOCUMENT, shop.server_key).json() == shop.document
    assert len(upstream.received(DOCUMENT)) == 2


def test_gate__setting_off_then_on__only_comments_then_the_newest_at_once(
    start_relay: StartRelay, shop: Environment
) -> None:
    relay = start_relay(shop)
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.update(project__enable_realtime_updates=False)
        shop.change(banner=NEW)
        relay.post(shop)
        relay.process.wait_until(lambda: relay.flags(shop)["banner"] == NEW)
        assert_silent(stream, before)
        with relay.connect(shop) as closed:
            assert closed.next_comment()
            assert_silent(closed)
            shop.update(project__enable_realtime_updates=True)
            shop.change()
            relay.post(shop)
            assert stream.event_after(before).updated_at == seconds(shop.version)
            assert closed.next_event().updated_at == seconds(shop.version)


@pytest.mark.slow
def test_gate__streaming_always__the_setting_has_no_effect(start_relay: StartRelay, shop: Environment) -> None:
    shop.update(project__enable_realtime_updates=False)
    relay = start_relay(shop, RELAY_STREAMING="always")
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.change(banner=NEW)
        relay.post(shop)
        assert stream.event_after(before).updated_at == seconds(shop.version)


@pytest.mark.slow
def test_redis__two_relays__one_fetch_and_both_send_the_event(
    start_relay: StartRelay, upstream: Upstream, shop: Environment, redis: Redis
) -> None:
    variables = {"REDIS_URL": redis.url}
    relays = [start_relay(shop, folder=name, **variables) for name in ("one", "other")]
    streams = [relay.connect(shop) for relay in relays]
    known = [newest(stream) for stream in streams]
    for number in range(3):
        fetched = len(upstream.received(DOCUMENT))
        shop.change(banner=(True, f"value {number}"))
        assert relays[number % 2].post(shop) == 202
        for index, (relay, stream) in enumerate(zip(relays, streams, strict=True)):
            known[index] = stream.event_after(known[index]).updated_at
            assert known[index] == seconds(shop.version)
            assert relay.flags(shop)["banner"] == (True, f"value {number}")
        assert len(upstream.received(DOCUMENT)) == fetched + 1
    for stream in streams:
        stream.close()
