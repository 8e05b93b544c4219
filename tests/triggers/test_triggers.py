"""What makes an event and what does not: each admin action of Flagsmith, once, on a real server's streams.

What is silent is shown by what comes next: after each action something happens that is an event for sure, and on a
silent stream that is the first one.
"""

from dataclasses import replace

import pytest

from tests.triggers.case import Case
from tests.triggers.change_requests import FAR
from tests.triggers.rows import CASES, ROWS, cases_of
from tests.triggers.served import Ear, Place, Reading, ServedWorld, data

# All on one worker, since they share a server.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("triggers")]


LOUD = [[case for case in cases_of(names) if case.events and case.gate] for names in ROWS.values()]
# One case of a row is enough, since the gate is one for all.
GATED = dict.fromkeys(cases[0] for cases in LOUD if cases)


def test_rows__each__has_cases_or_a_test_and_each_case_a_row() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)
    assert [row for row, names in ROWS.items() if not cases_of(names) and not set(names) & set(globals())] == []
    assert set(map(str, CASES)) == {str(case) for names in ROWS.values() for case in cases_of(names)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_action__real_time_as_the_case_says__one_event_per_environment_touched(case: Case, world: ServedWorld) -> None:
    prepare(case, world, gate=case.gate)
    before = {name: world.read(environment) for name, environment in world.environments.items()}
    with world.listening(world.a.api_key, world.b.api_key) as streams:
        ears = dict(zip("AB", streams, strict=True))
        case.act(world)
        for name in case.events:
            ears[name].wait()
        after = {name: world.read(environment) for name, environment in left(case, world).items()}
        heard = heard_until_marked(case, world, ears)

    assert heard == {name: [data(after[name].version)] if name in case.events else [] for name in "AB"}
    for name, reading in after.items():
        assert_versions(case, name, before[name], reading)


@pytest.mark.parametrize("case", GATED, ids=str)
def test_action__real_time_off__no_event_but_the_version_rises(case: Case, world: ServedWorld) -> None:
    prepare(case, world, gate=False)
    before = {name: world.version(environment) for name, environment in world.environments.items()}
    with world.listening(world.a.api_key, world.b.api_key) as streams:
        case.act(world)
        after = {name: world.version(environment) for name, environment in left(case, world).items()}
        heard = heard_until_marked(case, world, dict(zip("AB", streams, strict=True)))

    assert heard == {"A": [], "B": []}
    assert {name for name, version in after.items() if version > before[name]} == set(case.events)


def test_environment_key__changed__event_on_the_new_stream_alone(world: ServedWorld) -> None:
    renamed = replace(world.a, api_key="another-key")
    with world.listening(world.a.api_key, renamed.api_key, world.b.api_key) as (old, new, other):
        world.call("PATCH", world.of_a, {"api_key": renamed.api_key})
        new.wait()
        version = world.version(renamed)
        world.mark()
        assert old.until(world.mark_dead(world.a.api_key)) == []
        assert new.until(data(world.version(renamed))) == [data(version)]
        assert other.until(data(world.version(world.b))) == []
    assert world.read(renamed).document["api_key"] == renamed.api_key


def test_three_actions__one_after_the_other__an_event_each_and_versions_rise(world: ServedWorld) -> None:
    default = (world.state, world.default)[1]
    versions = []
    with world.listening(world.a.api_key) as (ear,):
        for value in ("one", "two", "three"):
            world.call("PUT", default, {"feature_state_value": value})
            ear.wait()
            versions.append(world.version(world.a))
    assert ear.said == [data(version) for version in versions]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("path", ["environments/", "environments/{key}/clone/"], ids=["created", "cloned"])
def test_environment__new__its_stream_starts_with_its_version(path: str, world: ServedWorld) -> None:
    """Nobody can listen to it before: the key is in the answer."""
    made = world.call("POST", path.format(key=world.a.api_key), {"name": "New", "project": world.project.pk})
    new = Place(made["id"], made["name"], made["api_key"], server_key="")
    with world.listening(new.api_key) as (ear,):
        assert ear.first == data(world.version(new))
        world.mark()
        assert ear.until(data(world.version(new))) == []


def test_change_requests__that_must_not_go_live__silent_until_one_that_is_due_after_them(world: ServedWorld) -> None:
    """A draft, a deleted one, and one whose feature was deleted: the scheduler passes all their times."""
    gone, last = (world.call("POST", world.features, {"name": name}) for name in ("gone", "last"))
    draft = world.draft(FAR)
    deleted, hopeless, marker = world.schedule(), world.schedule(gone), world.schedule(last)
    world.call("DELETE", world.of_request(deleted))
    world.call("DELETE", f"{world.features}{gone['id']}/")
    with world.listening(world.a.api_key, world.b.api_key) as (a, b):
        world.let_come(draft, deleted, hopeless, marker)
        a.wait()
        version, flags = world.version(world.a), world.sdk("GET", "flags/")
        world.mark()
        assert a.until(data(world.version(world.a))) == [data(version)]
        assert b.until(data(world.version(world.b))) == []
    assert {flag["feature"]["name"]: flag["enabled"] for flag in flags} == {"banner": False, "last": True}
    assert "change_request_failed" in {said["event"] for said in world.said_of(hopeless)}


def prepare(case: Case, world: ServedWorld, gate: bool) -> None:
    """Make what the case needs."""
    for need in case.needs:
        getattr(world, need)
    if not gate:
        world.call("PATCH", world.of_project, {"enable_realtime_updates": False})


def left(case: Case, world: ServedWorld) -> dict[str, Place]:
    """The environments that are still there after the case's action."""
    return {name: environment for name, environment in world.environments.items() if name not in case.gone}


def heard_until_marked(case: Case, world: ServedWorld, ears: dict[str, Ear]) -> dict[str, list[str]]:
    """What each stream said before the marker, which has to come on each of them."""
    world.mark()
    markers = {name: data(world.version(environment)) for name, environment in left(case, world).items()}
    markers |= {name: world.mark_dead(world.environments[name].api_key) for name in case.gone}
    return {name: ear.until(markers[name]) for name, ear in ears.items()}


def assert_versions(case: Case, name: str, before: Reading, after: Reading) -> None:
    """The versions rise with what SDKs read, and with nothing else."""
    if name in case.events + case.unheard:
        assert after.version > before.version
        assert after.revision > before.revision
        assert case.cosmetic or after.content != before.content, "announced, but SDKs read the same"
    elif name in case.silent:
        assert after.version == before.version
        assert after.revision > before.revision
        assert after.content != before.content, "silently another revision, but SDKs read the same"
    else:
        assert (after.version, after.revision) == (before.version, before.revision)
        assert after.content == before.content, "SDKs read something else, but no version rose"
    assert after.document_version == after.version
