"""Events of all admin operations, on a real server's streams.

Each operation is followed by a marker, an operation that certainly makes an event. A stream that got no event from the
operation gets the marker first.
"""

from dataclasses import replace

import pytest

from tests.operations.catalogue import BY_NAME, OPERATIONS
from tests.operations.operation import Operation
from tests.triggers.server import Environment, Listener, Reading, StreamedWorld, event_data

# All in one process, since they share a server.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("triggers")]

# The first of each call: all operations of a project have one gate.
GATED = {
    operation.call: operation for operation in reversed(OPERATIONS) if operation.events and operation.streaming_enabled
}


def test_catalogue__names__each_is_used_once() -> None:
    assert len(BY_NAME) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_operation__streaming_as_it_requires__one_event_per_affected_environment(
    operation: Operation, world: StreamedWorld
) -> None:
    prepare(operation, world, streaming_enabled=operation.streaming_enabled)
    before = {name: world.read(environment) for name, environment in world.environments.items()}
    with world.listening(world.a.api_key, world.b.api_key) as streams:
        listeners = dict(zip("AB", streams, strict=True))
        world.perform(operation)
        for name in operation.events:
            listeners[name].wait()
        after = {name: world.read(environment) for name, environment in remaining(operation, world).items()}
        received = received_before_marker(operation, world, listeners)

    assert received == {name: [event_data(after[name].version)] if name in operation.events else [] for name in "AB"}
    for name, reading in after.items():
        assert_versions(operation, name, before[name], reading)


@pytest.mark.parametrize("operation", GATED.values(), ids=str)
def test_operation__streaming_disabled__no_event_but_the_version_rises(
    operation: Operation, world: StreamedWorld
) -> None:
    prepare(operation, world, streaming_enabled=False)
    before = {name: world.version(environment) for name, environment in world.environments.items()}
    with world.listening(world.a.api_key, world.b.api_key) as streams:
        world.perform(operation)
        after = {name: world.version(environment) for name, environment in remaining(operation, world).items()}
        received = received_before_marker(operation, world, dict(zip("AB", streams, strict=True)))

    assert received == {"A": [], "B": []}
    assert {name for name, version in after.items() if version > before[name]} == set(operation.events)


def test_environment_key__changed__event_on_the_new_stream_alone(world: StreamedWorld) -> None:
    renamed = replace(world.a, api_key="another-key")
    with world.listening(world.a.api_key, renamed.api_key, world.b.api_key) as (old, new, other):
        world.call("PATCH", "environments/{a}/", {"api_key": renamed.api_key})
        new.wait()
        version = world.version(renamed)
        world.mark()
        assert old.receive_until(world.mark_deleted(world.a.api_key)) == []
        assert new.receive_until(event_data(world.version(renamed))) == [event_data(version)]
        assert other.receive_until(event_data(world.version(world.b))) == []
    assert world.read(renamed).document["api_key"] == renamed.api_key


def test_three_operations__in_sequence__an_event_each_and_versions_rise(world: StreamedWorld) -> None:
    assert world.state
    versions = []
    with world.listening(world.a.api_key) as (listener,):
        for value in ("one", "two", "three"):
            world.call("PUT", "environments/{a}/featurestates/{state}/", {"feature_state_value": value})
            listener.wait()
            versions.append(world.version(world.a))
    assert listener.received == [event_data(version) for version in versions]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("path", ["environments/", "environments/{a}/clone/"], ids=["created", "cloned"])
def test_environment__new__its_stream_starts_with_its_version(path: str, world: StreamedWorld) -> None:
    """No stream can be open before: the key is in the response."""
    created = world.call("POST", path, {"name": "New", "project": "{project}"})
    new = Environment(created["id"], created["name"], created["api_key"], server_key="")
    with world.listening(new.api_key) as (listener,):
        assert listener.first == event_data(world.version(new))
        world.mark()
        assert listener.receive_until(event_data(world.version(new))) == []


def test_change_requests__that_must_not_go_live__no_event_until_one_that_is_due_after_them(
    world: StreamedWorld,
) -> None:
    """A draft, a deleted one, and one whose feature was deleted: the scheduler passes the due times of all."""
    gone, last = (world.call("POST", "projects/{project}/features/", {"name": name}) for name in ("gone", "last"))
    draft = world.draft(world.feature)
    deleted, failing, marker = (world.schedule(feature) for feature in (world.feature, gone, last))
    world.call("DELETE", f"features/workflows/change-requests/{deleted['id']}/")
    world.call("DELETE", f"projects/{{project}}/features/{gone['id']}/")
    with world.listening(world.a.api_key, world.b.api_key) as (a, b):
        world.make_due(draft, deleted, failing, marker)
        a.wait()
        version, flags = world.version(world.a), world.read(world.a).flags
        world.mark()
        assert a.receive_until(event_data(world.version(world.a))) == [event_data(version)]
        assert b.receive_until(event_data(world.version(world.b))) == []
    assert {flag["feature"]["name"]: flag["enabled"] for flag in flags} == {"banner": False, "last": True}
    assert "change_request_failed" in {line["event"] for line in world.logged(failing)}


def prepare(operation: Operation, world: StreamedWorld, streaming_enabled: bool) -> None:
    world.prepare(operation)
    if not streaming_enabled:
        world.call("PATCH", "projects/{project}/", {"enable_realtime_updates": False})


def remaining(operation: Operation, world: StreamedWorld) -> dict[str, Environment]:
    """The environments that exist after the operation."""
    return {name: environment for name, environment in world.environments.items() if name not in operation.deleted}


def received_before_marker(
    operation: Operation, world: StreamedWorld, listeners: dict[str, Listener]
) -> dict[str, list[str]]:
    """The data of each stream's events before the marker, which each of them has to get."""
    world.mark()
    markers = {name: event_data(world.version(each)) for name, each in remaining(operation, world).items()}
    markers |= {name: world.mark_deleted(world.environments[name].api_key) for name in operation.deleted}
    return {name: listener.receive_until(markers[name]) for name, listener in listeners.items()}


def assert_versions(operation: Operation, name: str, before: Reading, after: Reading) -> None:
    """Assert that the versions rise if, and only if, SDKs read something else."""
    if name in operation.events + operation.suppressed:
        assert after.version > before.version
        assert after.revision > before.revision
        assert operation.same_content or after.content != before.content, "an event, but SDKs read the same"
    elif name in operation.silent:
        assert after.version == before.version
        assert after.revision > before.revision
        assert after.content != before.content, "another revision without an event, but SDKs read the same"
    else:
        assert (after.version, after.revision) == (before.version, before.revision)
        assert after.content == before.content, "SDKs read something else, but no version rose"
    assert after.document_version == after.version
