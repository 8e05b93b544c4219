"""Documents as a relay receives, versions and compiles them, without a server."""

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.relay import document
from realtime.relay.document import HeldDocument, Stored
from realtime.relay.upstream import UpstreamError
from realtime.types import EnvironmentKey, reads_as_newer
from tests.support.upstream import START, sample_document, state

KEY = EnvironmentKey("shop")

Json = dict[str, Any]


def received(content: Json, held: HeldDocument | None = None) -> HeldDocument | None:
    return document.receive(KEY, json.dumps(content).encode(), held)


def held_sample() -> HeldDocument:
    held = received(sample_document(KEY))
    assert held is not None
    return held


def changed(**fields: Any) -> Json:
    return {**deepcopy(sample_document(KEY)), **fields}


def test_receive__first_document__as_it_came_with_the_upstreams_version() -> None:
    content = sample_document(KEY)
    held = received(content)

    assert held is not None
    assert (held.version, json.loads(held.document_body)) == (START, content)


@given(st.randoms(use_true_random=False))
def test_receive__other_order_and_made_up_fields__is_the_held_document(random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            names = list(value)
            random.shuffle(names)
            return {name: shuffled(value[name]) for name in names}
        if isinstance(value, list):
            items = [shuffled(item) for item in value]
            random.shuffle(items)
            return items
        return value

    content = shuffled(sample_document(KEY))
    for identity in content["identity_overrides"]:
        identity |= {"identity_uuid": str(random.random()), "created_date": str(random.random())}

    assert received(content, held_sample()) is None


def test_receive__other_content_and_same_version__version_is_the_clocks_and_in_the_document() -> None:
    before = datetime.now(UTC)
    held = received(changed(hide_disabled_flags=True), held_sample())

    assert held is not None
    assert before <= held.version <= datetime.now(UTC) + timedelta(seconds=1)
    assert not reads_as_newer(held.version)
    assert json.loads(held.document_body)["updated_at"] == held.version.isoformat()
    assert held.flags(False).updated_at == held.version


def test_receive__upstreams_version_is_behind_the_chosen_one__version_rises() -> None:
    chosen = received(changed(hide_disabled_flags=True), held_sample())
    assert chosen is not None
    next_version = (START + timedelta(seconds=5)).isoformat()
    held = received(changed(updated_at=next_version), chosen)

    assert held is not None
    assert held.version > chosen.version
    assert held.stored.last_modified > chosen.stored.last_modified


def test_receive__older_version__refused_unless_nothing_else_differs() -> None:
    older = (START - timedelta(seconds=1)).isoformat()
    with pytest.raises(UpstreamError) as refused:
        received(changed(updated_at=older, hide_disabled_flags=True), held_sample())

    assert refused.value.result == "older"
    assert received(changed(updated_at=older), held_sample()) is None


@pytest.mark.parametrize("time", [None, "2026-01-01T12:00:00.5", "2026-01-01T14:00:00.5+02:00"])
def test_receive__times__utc_or_the_clocks(time: str | None) -> None:
    began = datetime.now(UTC)
    held = received(changed(updated_at=time))

    assert held is not None
    assert held.version >= began if time is None else held.version == datetime(2026, 1, 1, 12, 0, 0, 500_000, UTC)


BROKEN = {
    "not an object": b"[]",
    "truncated": json.dumps(sample_document(KEY)).encode()[:-10],
    "not UTF-8": json.dumps(sample_document(KEY)).encode("utf-16"),
    "not a number": json.dumps(changed(id=float("nan"))).encode(),
    "nested": b"[" * 100_000,
    "no project": json.dumps(changed(project=None)).encode(),
    "no states": json.dumps(changed(feature_states=None)).encode(),
    "no segments": json.dumps(changed(project={"segments": None})).encode(),
    "time": json.dumps(changed(updated_at="yesterday")).encode(),
    "time is a number": json.dumps(changed(updated_at=1)).encode(),
    "state without a feature": json.dumps(changed(feature_states=[{"enabled": True}])).encode(),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_receive__broken_document__refused(raw: bytes) -> None:
    with pytest.raises(UpstreamError) as refused:
        document.receive(KEY, raw, held_sample())

    assert refused.value.result == "invalid"


def test_receive__equal_project_of_another_environment__refused_as_foreign() -> None:
    with pytest.raises(UpstreamError) as refused:
        received(changed(api_key="other"))

    assert refused.value.result == "foreign"


def test_receive__server_side_key_in_place_of_the_client_side_key__accepted() -> None:
    held = document.receive(EnvironmentKey("ser.key"), json.dumps(sample_document(KEY)).encode(), None)

    assert held is not None


def test_receive__many_features__evaluated_in_a_thread() -> None:
    states = [state(number, f"f{number}", True, None) for number in range(document.MAX_FEATURES + 1)]
    large, small = received(changed(feature_states=states)), held_sample()

    assert large is not None
    assert (large.is_expensive, small.is_expensive) == (True, False)


@pytest.mark.parametrize(
    "path, is_expensive",
    [("plan", False), ("$.identity.identifier", False), ("$.identity.traits.plan", False), ("$.features..name", True)],
)
def test_receive__condition_with_a_query__evaluated_in_a_thread(path: str, is_expensive: bool) -> None:
    content = sample_document(KEY)
    (rule,) = content["project"]["segments"][0]["rules"]
    rule["rules"][0]["conditions"][0]["property_"] = path
    held = received(content)

    assert held is not None
    assert held.is_expensive == is_expensive


def test_receive__pattern_that_is_slow_for_any_identity__evaluated_in_a_thread() -> None:
    content = sample_document(KEY)
    (rule,) = content["project"]["segments"][0]["rules"]
    condition = {"operator": "REGEX", "property_": "$.environment.name", "value": "^(a|aa)+$"}
    rule["rules"][0]["conditions"] = [condition]
    held = received({**content, "name": "a" * 60 + "!"})

    assert held is not None
    assert held.is_expensive


def test_stored__damaged__value_error() -> None:
    stored = held_sample().stored
    line, _, body = stored.encode().partition(b"\n")
    header = json.loads(line)

    assert Stored.decode(line, body) == stored
    for damaged, content in (({}, body), ([], body), (header, body[:-1]), ({**header, "version": 1}, body)):
        with pytest.raises(ValueError):
            Stored.decode(json.dumps(damaged).encode(), content)
