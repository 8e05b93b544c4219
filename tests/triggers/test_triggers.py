"""What makes an event and what does not: each admin action of Flagsmith, once, through the whole product."""

from datetime import datetime

import pytest
from django.db.models import F

from environments.models import Environment
from projects.models import Project
from realtime import sse
from realtime.types import epoch_seconds
from tests.triggers import flag_cases, segment_cases, tenant_cases, workflow_cases
from tests.triggers.case import Case
from tests.triggers.world import Reading, World, listening

pytestmark = pytest.mark.django_db(transaction=True)

CASES = (
    *flag_cases.DEFAULTS,
    *flag_cases.FEATURES,
    *segment_cases.OVERRIDES,
    *segment_cases.SEGMENTS,
    *tenant_cases.IDENTITIES,
    *tenant_cases.ENVIRONMENTS,
    *tenant_cases.PROJECT,
    *tenant_cases.ORGANISATION,
    *workflow_cases.CHANGE_REQUESTS,
    *tenant_cases.REFUSED,
)

# Rows of the upstream's table that have no case, and why.
NOT_HERE = {
    "drafts, versions and change sets of feature versioning v2": "the product has no versioning v2",
    "v2 versioning enabled or disabled": "the product has no versioning v2",
    "overrides through the command line's end points": "issue of their own",
    "webhooks": "issue of their own",
    "drafts, revisions and system segments": "the product keeps no copies of segments",
    "identity overrides of edge identities": "the product has no edge",
    "groups, and features' metadata": "the product has neither",
    "imports, feature health, release pipelines, experiments, metrics": "the product has none of them",
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_action__real_time_as_the_case_says__one_event_per_environment_touched(case: Case, world: World) -> None:
    before = prepared(case, world, gate=case.gate)
    with listening(world.a.api_key, world.b.api_key) as heard:
        case.act(world)
        events = {name: heard(environment.api_key) for name, environment in environments(world).items()}

    assert {name: len(data) for name, data in events.items()} == {name: int(name in case.events) for name in "AB"}
    for name, environment in still_there(world).items():
        after = world.read(environment)
        if name in case.events:
            same_microsecond(events[name][0], after)
        assert_versions(case, name, before[name], after)


@pytest.mark.parametrize("case", [case for case in CASES if case.gate and not case.unheard], ids=str)
def test_action__real_time_off__no_event_but_the_version_rises(case: Case, world: World) -> None:
    before = prepared(case, world, gate=False)
    with listening(world.a.api_key, world.b.api_key) as heard:
        case.act(world)
        events = {name: heard(environment.api_key) for name, environment in environments(world).items()}

    assert events == {"A": [], "B": []}
    for name, environment in still_there(world).items():
        assert_versions(case, name, before[name], world.read(environment))


def test_environment_key__changed__event_on_the_new_stream_alone(world: World) -> None:
    old, new = world.a.api_key, "another-key"
    with listening(old, new, world.b.api_key) as heard:
        world.call("PATCH", world.of_a, {"api_key": new})
        counts = [len(heard(key)) for key in (old, new, world.b.api_key)]
    assert counts == [0, 1, 0]
    assert world.read(world.a).document["api_key"] == new


def test_two_actions__one_after_the_other__versions_rise(world: World) -> None:
    default = (world.state, world.default)[1]
    with listening(world.a.api_key) as heard:
        for value in ("one", "two", "three"):
            world.call("PUT", default, {"feature_state_value": value})
        versions = [sse.parse(data) for data in heard(world.a.api_key)]
    assert len(versions) == 3
    assert versions == sorted(set(versions))


def environments(world: World) -> dict[str, Environment]:
    return {"A": world.a, "B": world.b}


def still_there(world: World) -> dict[str, Environment]:
    left = set(Environment.objects.values_list("pk", flat=True))
    return {name: environment for name, environment in environments(world).items() if environment.pk in left}


def prepared(case: Case, world: World, gate: bool) -> dict[str, Reading]:
    """Make what the case needs; what SDKs read before the action."""
    for need in case.needs:
        getattr(world, need)
    Project.objects.update(enable_realtime_updates=gate)
    # That update sent no signal, so the versions have to follow by hand.
    Environment.objects.update(revision=F("revision") + 1)
    return {name: world.read(environment) for name, environment in environments(world).items()}


def same_microsecond(data: str, after: Reading) -> None:
    """Event, row, header and document have one version, to the microsecond."""
    assert data == f'{{"updated_at": {after.header}}}'
    assert after.header == epoch_seconds(after.updated_at)
    assert datetime.fromisoformat(after.document_updated_at) == after.updated_at


def assert_versions(case: Case, name: str, before: Reading, after: Reading) -> None:
    """The versions rise with what SDKs read, and with nothing else."""
    if name in case.events + case.unheard:
        assert after.updated_at > before.updated_at
        assert after.revision > before.revision
        assert case.cosmetic or after.content != before.content, "announced, but SDKs read the same"
    elif name in case.silent:
        assert after.updated_at == before.updated_at
        assert after.revision > before.revision
        assert after.content != before.content, "silently another revision, but SDKs read the same"
    else:
        assert (after.updated_at, after.revision) == (before.updated_at, before.revision)
        assert after.content == before.content, "SDKs read something else, but no version rose"
    assert after.header == epoch_seconds(after.updated_at)
    assert datetime.fromisoformat(after.document_updated_at) == after.updated_at
