"""The relay in front of an unmodified Flagsmith: official SDKs whose API and stream are the relay's.

Only the tests' clients of Flagsmith's Admin API use Flagsmith itself. Its caches are as shipped.
"""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from math import inf
from typing import Any, NamedTuple

import pytest
from flagsmith import Flagsmith
from flagsmith.models import DefaultFlag
from playwright.sync_api import Browser

from benchmarks.report import percentile
from tests.e2e.changes import FEATURE, IDENTITY, TRAITS, Act, Change, banner
from tests.e2e.javascript_sdk import SDKPage, sdk_origin
from tests.e2e.node_sdk import NodeSDK
from tests.flagsmith.changes import ABSENT, CHANGES
from tests.flagsmith.checkout import Checkout
from tests.flagsmith.conftest import RealClient
from tests.flagsmith.monolith import Tasks
from tests.flagsmith.reading import Read
from tests.flagsmith.relayed import Relayed
from tests.flagsmith.sequences import PATIENCE, SEQUENCES, Step
from tests.support import sse
from tests.support.api import AdminAPI, Body, Tenant, text
from tests.support.chromium import chromium
from tests.support.forwarder import Forwarded
from tests.support.upstream import seconds

# benchmarks/README.md reports FLAGSMITH_CHANGES=2000.
NUMBER = int(os.environ.get("FLAGSMITH_CHANGES", "42"))

SEGMENTS = 50
IDENTITIES = 40

DAY = 86_400.0

MICROSECOND = Decimal("0.000002")

# Flagsmith posts nothing, and an absent event cannot be awaited.
SILENCE_SECONDS = 0.3

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(10_800)]


def identity_override(tenant: Tenant) -> Act:
    feature = banner(tenant)
    path = f"environments/{tenant.environment.key}/identities/"
    identity = tenant.api.post(path, identifier=IDENTITY)["id"]
    fields = {"feature": feature, "enabled": True, "feature_state_value": "for ada"}
    return lambda: tenant.api.post(f"{path}{identity}/featurestates/", **fields)


SEEN = {**CHANGES, "identity override": Change(identity_override, (False, "old"), (True, "for ada"))}


@pytest.fixture(scope="module", params=[Tasks.PROCESSOR, Tasks.THREADS], ids=lambda tasks: tasks.value.lower())
def relayed(
    request: pytest.FixtureRequest, checkout: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relayed]:
    with Relayed(checkout, request.param, tmp_path_factory.mktemp("relay")) as both:
        yield both


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with sdk_origin() as origin:
        yield origin


@pytest.mark.parametrize("change", SEEN.values(), ids=SEEN.keys())
def test_relay__admin_changes_something__official_sdks_have_it(
    change: Change, relayed: Relayed, browser: Browser, origin: str
) -> None:
    """Python with local and remote evaluation, JavaScript in Chromium, and Node."""
    tenant = relayed.tenant()
    act = change.prepare(tenant)
    relayed.flagsmith.settle()
    reader, url = relayed.at_relay(tenant), relayed.relay.url
    relayed.wait_for_document(tenant)
    local = RealClient.of(reader, url)
    remote = Flagsmith(environment_key=tenant.environment.key, api_url=f"{url}/api/v1/", default_flag_handler=absent)
    context = browser.new_context()
    page = context.new_page()
    page.goto(origin)
    try:
        with (
            NodeSDK(url, tenant.environment) as node,
            sse.connect(relayed.relay.port, tenant.environment.key) as stream,
        ):
            javascript = SDKPage(page, reader, url)
            node.wait_for(change.before)
            assert [local.seen(), seen(remote), javascript.seen()] == [change.before] * 3
            before = stream.next_event(PATIENCE).updated_at

            act()

            while seen(remote) != change.after:
                before = stream.event_after(before, PATIENCE).updated_at
            local.wait_until(lambda: local.seen() == change.after, PATIENCE)
            javascript.wait_for(change.after)
            node.wait_for(change.after)
            assert javascript.errors == []
    finally:
        local.event_stream_thread.stop()
        context.close()


def absent(name: str) -> DefaultFlag:
    """The flag of a feature that does not exist."""
    enabled, value = ABSENT
    return DefaultFlag(enabled=enabled, value=value)


def seen(client: Flagsmith) -> tuple[bool, Any]:
    """Enabled and value of the feature by remote evaluation."""
    flag = client.get_identity_flags(IDENTITY, dict(TRAITS)).get_flag(FEATURE)
    return flag.enabled, flag.value


def test_relay__setting_off_then_on__silent_then_the_newest(relayed: Relayed) -> None:
    tenant, other = relayed.tenant(), relayed.tenant()
    feature = banner(tenant)
    marker_feature = banner(other)
    relayed.flagsmith.settle()
    relayed.wait_for_document(tenant)
    key, port = tenant.environment.key, relayed.relay.port
    with sse.connect(port, key) as stream, sse.connect(port, other.environment.key) as marker:
        known, marked = stream.next_event().updated_at, marker.next_event().updated_at
        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=False)
        tenant.change(feature, enabled=True)
        relayed.flagsmith.settle()
        # A later event has reached another stream.
        other.change(marker_feature, enabled=True)
        marker.event_after(marked, PATIENCE)
        with pytest.raises(TimeoutError):
            stream.event_after(known, timeout=SILENCE_SECONDS)
        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=True)
        tenant.change(feature, enabled=False, feature_state_value="newest")
        stream.event_after(known, PATIENCE)
        relayed.relay.process.wait_until(
            lambda: relayed.relay.flags(tenant.environment)[FEATURE] == (False, "newest"), PATIENCE
        )


def test_relay__fifty_segments_and_forty_identities__answers_of_the_upstream(relayed: Relayed) -> None:
    tenant = relayed.tenant()
    features = [tenant.add_feature(f"feature_{number}", initial_value=f"v{number}")["id"] for number in range(10)]
    options = [{"type": "unicode", "string_value": name, "default_percentage_allocation": 40} for name in "ab"]
    features.append(
        tenant.add_feature("split", type="MULTIVARIATE", initial_value="c", multivariate_options=options)["id"]
    )
    tenant.add_feature("for_servers", is_server_key_only=True)
    for number, rule in enumerate(RULES * (SEGMENTS // len(RULES))):
        group = {"type": "ALL", "rules": [{"type": "ANY", "rules": [], "conditions": [rule]}], "conditions": []}
        segment = tenant.api.post(f"projects/{tenant.project}/segments/", name=f"segment {number}", rules=[group])
        tenant.override(features[number % len(features)], segment["id"], feature_state_value=text(f"segment {number}"))
    relayed.flagsmith.settle()
    relayed.wait_for_document(tenant)
    reader = relayed.at_relay(tenant)

    assert by_id(relayed, tenant, "GET", "flags/") == by_id(relayed, reader, "GET", "flags/")
    for number in range(IDENTITIES):
        traits = [{"trait_key": name, "trait_value": value} for name, value in traits_of(number).items()]
        body = {"identifier": f"identity {number}", "traits": traits, "transient": number % 2 == 0}
        expected = by_id(relayed, tenant, "POST", "identities/", body)
        assert by_id(relayed, reader, "POST", "identities/", body) == expected, body


# Each segment operator, and traits that meet some of them.
RULES: list[Body] = [
    {"operator": "EQUAL", "property": "plan", "value": "pro"},
    {"operator": "NOT_EQUAL", "property": "plan", "value": "pro"},
    {"operator": "GREATER_THAN", "property": "age", "value": "30"},
    {"operator": "LESS_THAN_INCLUSIVE", "property": "age", "value": "30"},
    {"operator": "CONTAINS", "property": "email", "value": "@example.com"},
    {"operator": "REGEX", "property": "email", "value": r"^user1\d*@"},
    {"operator": "IS_SET", "property": "beta", "value": ""},
    {"operator": "PERCENTAGE_SPLIT", "property": None, "value": "50"},
    {"operator": "IN", "property": "country", "value": "DE,CH"},
    {"operator": "GREATER_THAN_INCLUSIVE", "property": "version", "value": "1.2.0:semver"},
]


def traits_of(number: int) -> Body:
    traits: Body = {
        "plan": ("pro", "basic", "")[number % 3],
        "age": number,
        "email": f"user{number}@example.{'com' if number % 2 else 'org'}",
        "country": ("DE", "CH", "FR", "US")[number % 4],
        "version": f"1.{number % 5}.0",
        "score": number / 7,
    }
    return {**traits, "beta": number % 2 == 0} if number % 5 else traits


def by_id(relayed: Relayed, tenant: Tenant, method: str, path: str, body: Body | None = None) -> Any:
    """The flags of a response by id, in the members that the Edge Proxy has, and the traits by name."""
    answer = tenant.api.response(method, path, body, {"X-Environment-Key": tenant.environment.key})
    assert answer.status_code == 200, answer.text
    parsed = answer.json()
    flags = parsed if isinstance(parsed, list) else parsed["flags"]
    traits = {} if isinstance(parsed, list) else {each["trait_key"]: each["trait_value"] for each in parsed["traits"]}
    members = {
        flag["feature"]["id"]: (
            flag["feature"]["name"],
            flag["feature"]["type"],
            flag["enabled"],
            flag["feature_state_value"],
        )
        for flag in flags
    }
    return members, traits


class Outcome(NamedTuple):
    """The effects of one change."""

    kind: str
    versions: int
    """Distinct versions that the stream has delivered for it."""

    old: Body
    """The differences from the expected content, read from the relay after the last event."""

    behind: list[str]
    """The places with a version below that of an event: ``header``, ``document``."""


class Delay(NamedTuple):
    """The time from a post of Flagsmith to the event of its version or a newer one."""

    seconds: float
    kind: str
    """The last change before the post."""


class Events:
    """The events of an environment's stream. A thread reads them, so their times are those of their arrival."""

    def __init__(self, port: int, key: str) -> None:
        self._stream = sse.connect(port, key)
        self._received: list[sse.Block] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._read, name=f"events of {key}", daemon=True).start()

    def after(self, version: Decimal, timeout: float) -> sse.Block:
        """The first event with a newer version."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._newer(version), timeout):
                raise TimeoutError(f"no event after {version}: {[each.updated_at for each in self._received]}")
            return self._newer(version)[0]

    def arrival(self, version: Decimal) -> float:
        """The time of the first event with this version or a newer one. Infinite: there is none."""
        return min((event.at for event in self._newer(version - MICROSECOND)), default=inf)

    def close(self) -> None:
        self._stream.close()

    def _newer(self, version: Decimal) -> list[sse.Block]:
        return [event for event in self._received if event.updated_at > version]

    def _read(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                event = self._stream.next_event(DAY)
                with self._changed:
                    self._received.append(event)
                    self._changed.notify_all()


class Lane:
    """A tenant, a stream of its environment at the relay, and a sequence of changes."""

    def __init__(self, name: str, relayed: Relayed, token: str) -> None:
        api = AdminAPI(relayed.flagsmith.url, token)
        api.session.headers["Connection"] = "close"
        tenant = relayed.tenant(api)
        self._relayed = relayed
        self._tenant = tenant
        self._reader = relayed.at_relay(tenant)
        self.steps: Iterator[Step] = SEQUENCES[name](tenant)
        self.next = next(self.steps)
        relayed.flagsmith.settle()
        self.events = Events(relayed.relay.port, tenant.environment.key)
        self._began: list[tuple[float, str]] = []
        """The start and the kind of each change."""

    def step(self) -> Outcome:
        """Make the next change, and read from the relay after each of its events, until the content is as expected."""
        step = self.next
        before = Decimal(time.time_ns()) / 1_000_000_000
        self._began.append((time.perf_counter(), step.kind))
        step.act()
        behind: list[str] = []
        for versions in range(1, step.rows + 1):  # noqa: B007
            before = self.events.after(before, PATIENCE).updated_at
            read = Read.of(self._reader)
            places = {"header": read.header, "document": read.version}
            behind += [place for place, version in places.items() if version < before - MICROSECOND]
            old = read.unlike(step.expected)
            if not old:
                break
        self.next = next(self.steps)
        return Outcome(step.kind, versions, old, behind)

    def delays(self) -> list[Delay]:
        """Those of all versions that were posted since the first change."""
        path = f"/sse/environments/{self._tenant.environment.key}/queue-change"
        first: dict[Decimal, float] = {}
        for post in self._relayed.posts.requests:
            if post.path == path and post.at > self._began[0][0]:
                first.setdefault(posted(post), post.at)
        return [
            Delay(max(0.0, self.events.arrival(version) - at), self._kind_before(at)) for version, at in first.items()
        ]

    def _kind_before(self, at: float) -> str:
        return [kind for began, kind in self._began if began <= at][-1]


def posted(post: Forwarded) -> Decimal:
    """The version in a post of Flagsmith."""
    version = datetime.fromisoformat(json.loads(post.body)["updated_at"])
    return seconds(version if version.tzinfo else version.replace(tzinfo=UTC))


def milliseconds(times: list[float]) -> list[float]:
    """p50 and p99 of these seconds."""
    return [round(percentile(sorted(times), part) * 1_000, 1) for part in (0.5, 0.99)]


def test_relay__each_event__relay_already_serves_the_change(relayed: Relayed) -> None:
    """Tenants change at the same time, and then wait for Flagsmith's tasks. The last version arrives each time."""
    token = str(relayed.api.session.headers["Authorization"]).removeprefix("Token ")
    lanes = [Lane(name, relayed, token) for name in SEQUENCES]
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(len(lanes)) as threads:
        while len(outcomes) < NUMBER:
            outcomes += threads.map(Lane.step, lanes)
            relayed.flagsmith.settle()
            relayed.flagsmith.analyze()
    delays = sorted((delay for lane in lanes for delay in lane.delays()), reverse=True)
    for lane in lanes:
        lane.events.close()

    summary = {
        "changes": len(outcomes),
        "posts": len(relayed.posts.requests),
        "fetches": len(relayed.reads.requests),
        "distinct versions": sum(outcome.versions for outcome in outcomes),
        "post to event, p50 and p99 in ms": milliseconds([delay.seconds for delay in delays]),
        "Flagsmith's document in it": milliseconds(relayed.reads.answer_seconds),
        "slowest": delays[:5],
        "versions behind": Counter(place for outcome in outcomes for place in outcome.behind),
        "old": Counter(outcome.kind for outcome in outcomes if outcome.old),
    }
    print(relayed.flagsmith.tasks.value, json.dumps(summary))
    assert [outcome for outcome in outcomes if outcome.old or outcome.behind] == [], summary
