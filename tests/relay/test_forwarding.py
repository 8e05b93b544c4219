"""Usage and traits that wait for the upstream: what is sent, kept and dropped, in this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from realtime.monitoring.shared_counters import counters
from realtime.relay import traits, usage
from realtime.relay.configuration import Configuration
from realtime.relay.relay_metrics import dropped
from realtime.relay.traits import TraitForwarder, TraitRequest
from realtime.relay.upstream import Upstream as Client
from realtime.relay.upstream import UpstreamError
from realtime.relay.usage import Source, Usage
from tests.support.asgi import eventually
from tests.support.upstream import Upstream

USAGE, USAGE_2, TRAITS = "/v1/analytics/flags/", "/v2/analytics/flags/", "/v1/traits/"

SOURCE = Source("shop", (), 1)

Logged = Callable[[str], list[str]]


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[Client]:
    client = Client(Configuration((), api_urls=(upstream.api_url,)))
    yield client
    await client.close()


@pytest.fixture
async def counts(client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Usage]:
    monkeypatch.setattr(usage, "INTERVAL_SECONDS", 0.02)
    counts = Usage(client)
    yield counts
    await counts.close()


@pytest.fixture
async def forwarder(client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TraitForwarder]:
    monkeypatch.setattr(traits, "FIRST_RETRY_SECONDS", 0.02)
    forwarder = TraitForwarder(client)
    yield forwarder
    await forwarder.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    """A function that returns the log lines with this text."""
    return lambda text: [line for line in caplog.messages if text in line]


def number_dropped(kind: str) -> int:
    return counters.sums()[dropped[kind].name]


def trait(identifier: str, value: Any) -> TraitRequest:
    body = {"identity": {"identifier": identifier}, "trait_key": "plan", "trait_value": value}
    return TraitRequest("POST", "traits/", "shop", identifier, json.dumps(body).encode())


def values(upstream: Upstream) -> list[Any]:
    """The values of the traits that were sent."""
    return [request.json()["trait_value"] for request in upstream.received(TRAITS)]


async def test_usage__upstream_answers_500_then_200__sent_once_and_logged_once(
    counts: Usage, upstream: Upstream, logged: Logged
) -> None:
    upstream.statuses[USAGE] = 500
    counts.count(SOURCE, "banner", 2)
    await eventually(lambda: len(upstream.received(USAGE)) > 2)
    counts.count(SOURCE, "banner", 3)
    failed = len(upstream.received(USAGE))
    del upstream.statuses[USAGE]
    await eventually(lambda: len(upstream.received(USAGE)) > failed)
    await eventually(lambda: upstream.received(USAGE)[-1].json() == {"banner": 5})
    # They are not sent again.
    number = len(upstream.received(USAGE))
    await asyncio.sleep(0.1)
    assert len(upstream.received(USAGE)) == number
    assert len(logged("usage_not_sent")) == 1


async def test_usage__label_that_is_not_ascii__sent_as_it_came(counts: Usage, upstream: Upstream) -> None:
    label = (b"flagsmith-application-name", "café".encode())
    counts.count(Source("shop", (label,), 1), "banner", 1)
    counts.count(SOURCE, "banner", 2)
    await eventually(lambda: len(upstream.received(USAGE)) == 2)

    first, second = upstream.received(USAGE)
    # Servers read headers as Latin-1.
    assert first.headers["flagsmith-application-name"] == "café".encode().decode("latin-1")
    assert (first.json(), second.json()) == ({"banner": 1}, {"banner": 2})


@pytest.mark.parametrize(
    ("value", "sent"),
    [(b"x" * (usage.MAX_LABEL_LENGTH - 1) + b" y", "x" * (usage.MAX_LABEL_LENGTH - 1)), (b" a\x0bb\x00 ", "ab")],
    ids=["its cut ends in a space", "control characters"],
)
async def test_usage__label_that_no_header_can_carry__sent_without_these_bytes(
    counts: Usage, upstream: Upstream, value: bytes, sent: str
) -> None:
    counts.count(Source("shop", usage.labels([(b"user-agent", value), (b"host", b"x")]), 1), "banner", 1)
    await eventually(lambda: len(upstream.received(USAGE)) == 1)

    (request,) = upstream.received(USAGE)
    assert request.headers["user-agent"] == sent


async def test_usage__request_that_cannot_be_sent__dropped_and_the_next_is_sent(
    counts: Usage, upstream: Upstream, logged: Logged
) -> None:
    before = number_dropped("usage")
    counts.count(Source("shop", ((b"user-agent", b"x "),), 1), "banner", 1)
    counts.count(SOURCE, "banner", 2)
    await eventually(lambda: len(upstream.received(USAGE)) == 1)

    assert upstream.received(USAGE)[0].json() == {"banner": 2}
    assert number_dropped("usage") == before + 1
    assert len(logged("usage_rejected")) == 1


async def test_send__request_that_cannot_be_sent__upstream_has_not_failed(upstream: Upstream) -> None:
    client = Client(Configuration((), api_urls=(upstream.api_url, "http://localhost:1/api/v1")))
    assert await client.send("POST", "analytics/flags/", "shop", b"{}", ((b"user-agent", b"x "),)) == 400
    assert client.apis.current() == upstream.api_url
    await client.close()


async def test_usage__upstream_rejects_it__dropped_counted_and_logged(
    counts: Usage, upstream: Upstream, logged: Logged
) -> None:
    before = number_dropped("usage")
    upstream.statuses[USAGE] = 403
    counts.count(SOURCE, "banner", 2)
    await eventually(lambda: number_dropped("usage") > before)

    assert len(logged("usage_rejected")) == 1
    await counts.close()
    assert len(upstream.received(USAGE)) == 1


async def test_usage__more_different_counts_than_are_kept__others_dropped_and_logged_once(
    counts: Usage, upstream: Upstream, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MAX_COUNTS", 2)
    before = number_dropped("usage")
    for name in ("banner", "colour", "layout", "banner", "internal"):
        counts.count(SOURCE, name, 3)
    await counts.close()

    (request,) = upstream.received(USAGE)
    assert request.json() == {"banner": 6, "colour": 3}
    assert number_dropped("usage") == before + 6
    assert len(logged("usage_dropped")) == 1


async def test_usage__more_bytes_than_are_kept__others_dropped_and_logged_once(
    counts: Usage, upstream: Upstream, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MAX_BYTES", 110)
    before = number_dropped("usage")
    source = Source("shop", (), 2)
    for _ in range(2):
        for identifier in ("a" * 60, "b" * 60, "c", "a" * 60):
            counts.count(source, ("banner", identifier, True), 3)
        # Not at the same time as its own rounds.
        counts._task.cancel()
        await counts._send_all()

    evaluations = [each for request in upstream.received(USAGE_2) for each in request.json()["evaluations"]]
    # What was sent takes no bytes.
    assert [(each["identity_identifier"][0], each["count"]) for each in evaluations] == [("a", 6), ("c", 3)] * 2
    assert number_dropped("usage") == before + 6
    assert len(logged("usage_dropped")) == 2


async def test_usage__different_senders_than_are_kept__nothing_of_them_is_kept(
    counts: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MAX_COUNTS", 1)
    counts.count(SOURCE, "banner", 1)
    for number in range(100):
        counts.count(Source("shop", ((b"user-agent", b"%d" % number),), 1), "banner", 1)

    assert list(counts._counts) == [SOURCE]


async def test_usage__one_environment_fails__others_are_sent_and_it_is_logged_once(
    counts: Usage, upstream: Upstream, logged: Logged
) -> None:
    upstream.statuses[USAGE] = 429
    for sender in (b"one", b"other"):
        counts.count(Source("shop", ((b"user-agent", sender),), 1), "banner", 1)
    for number in (1, 2, 3):
        counts.count(Source("blog", (), 2), ("banner", None, True), number)
        await eventually(lambda number=number: len(upstream.received(USAGE_2, "blog")) == number)
    await eventually(lambda: len(upstream.received(USAGE)) > 3)

    # One sender's failure is enough to leave the environment to the next round, which begins with the others.
    senders = [request.headers["user-agent"] for request in upstream.received(USAGE)]
    assert senders[:4] == ["one", "other", "one", "other"]
    assert len(logged("usage_not_sent")) == 1
    before = number_dropped("usage")
    del upstream.statuses[USAGE]
    await counts.close()
    assert {request.headers["user-agent"] for request in upstream.received(USAGE)[len(senders) :]} == {"one", "other"}
    assert number_dropped("usage") == before


async def test_usage__upstream_is_away__one_attempt_a_round(
    counts: Usage, client: Client, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    async def send(method: str, path: str, key: str, *others: Any) -> int:
        attempts.append(key)
        raise UpstreamError("unreachable", "a test")

    monkeypatch.setattr(client, "send", send)
    for key in ("shop", "blog"):
        counts.count(Source(key, (), 1), "banner", 1)
    await eventually(lambda: len(attempts) > 3)
    assert attempts[:4] == ["shop", "blog", "shop", "blog"]


async def test_usage__bug__kept_and_logged_once_with_its_stack(
    counts: Usage, client: Client, upstream: Upstream, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[object] = []

    async def failing(*arguments: object) -> int:
        attempts.append(arguments)
        raise RuntimeError("bug")

    before = number_dropped("usage")
    with monkeypatch.context() as patch:
        patch.setattr(client, "send", failing)
        counts.count(SOURCE, "banner", 2)
        await eventually(lambda: len(attempts) > 2)
    await eventually(lambda: [request.json() for request in upstream.received(USAGE)] == [{"banner": 2}])
    assert number_dropped("usage") == before
    (line,) = logged("usage_not_sent")
    assert "exc_info" in line


async def test_traits__upstream_rejects_one__dropped_and_the_next_is_sent(
    forwarder: TraitForwarder, upstream: Upstream, logged: Logged
) -> None:
    before = number_dropped("traits")
    upstream.statuses[TRAITS] = 400
    forwarder.add(trait("bob", 1))
    await eventually(lambda: number_dropped("traits") == before + 1)
    del upstream.statuses[TRAITS]
    forwarder.add(trait("bob", 2))
    await eventually(lambda: values(upstream) == [1, 2])
    assert len(logged("traits_rejected")) == 1


async def test_traits__more_wait_than_are_kept__oldest_dropped_and_logged_once(
    forwarder: TraitForwarder, upstream: Upstream, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traits, "MAX_QUEUED", 2)
    before = number_dropped("traits")
    upstream.statuses[TRAITS] = 503
    forwarder.add(trait("bob", 0))
    await eventually(lambda: values(upstream) == [0])
    for value in (1, 2, 3, 4):
        forwarder.add(trait("bob", value))
    del upstream.statuses[TRAITS]

    # The first one is sent until the upstream accepts it.
    await eventually(lambda: values(upstream)[-2:] == [3, 4])
    assert {*values(upstream)} == {0, 3, 4}
    assert number_dropped("traits") == before + 2
    assert len(logged("traits_dropped")) == 1


async def test_traits__more_bytes_wait_than_are_kept__oldest_dropped_and_logged_once(
    forwarder: TraitForwarder, upstream: Upstream, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traits, "MAX_QUEUED_BYTES", 2 * len(trait("bob", 0).body))
    before = number_dropped("traits")
    upstream.statuses[TRAITS] = 503
    forwarder.add(trait("bob", 0))
    await eventually(lambda: values(upstream) == [0])
    for value in (1, 2, 3, 4, 4):
        forwarder.add(trait("bob", value))
    del upstream.statuses[TRAITS]

    await eventually(lambda: values(upstream)[-2:] == [3, 4])
    assert {*values(upstream)} == {0, 3, 4}
    assert number_dropped("traits") == before + 2
    assert len(logged("traits_dropped")) == 1
    # Those that were sent take no bytes. One that is larger than all is kept, if it is the only one.
    for value in (5, 6, "7" * 100):
        forwarder.add(trait("bob", value))
    await eventually(lambda: values(upstream)[-1] == "7" * 100)
    assert number_dropped("traits") == before + 4


async def test_traits__bug__dropped_logged_once_and_the_next_is_sent(
    forwarder: TraitForwarder, client: Client, upstream: Upstream, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*arguments: object) -> int:
        raise RuntimeError("bug")

    before = number_dropped("traits")
    with monkeypatch.context() as patch:
        patch.setattr(client, "send", failing)
        for value in (0, 1):
            forwarder.add(trait("bob", value))
        await eventually(lambda: number_dropped("traits") == before + 2)
    forwarder.add(trait("bob", 2))
    await eventually(lambda: values(upstream) == [2])
    assert len(logged("traits_not_sent")) == 1
