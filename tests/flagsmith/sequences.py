"""Endless sequences of changes to a Flagsmith, of all kinds that it announces.

Each sequence has a tenant of its own. Each change has the expected content of the API (``Read.unlike``).
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from tests.e2e.changes import TRAITS, Act
from tests.operations.catalogue import BY_NAME
from tests.operations.objects import SEGMENTS, rules
from tests.operations.tenant_world import TenantWorld
from tests.support.api import Body, Tenant, text

# Its task processor looks for tasks twice a second.
PATIENCE = 60


class Step(NamedTuple):
    """One change."""

    kind: str
    act: Act
    expected: Body

    calls: int = 1
    """Calls of the API that it makes. With the app in Flagsmith's processes each one is an event."""

    rows: int = 1
    """The maximum number of events. Flagsmith may commit the changes of one call in several transactions with an event
    each. After the last event, all changes are served."""


Sequence = Callable[[Tenant], Iterator[Step]]


class SequenceWorld(TenantWorld):
    """The objects of a sequence."""

    def operation(self, name: str, **values: Any) -> Act:
        """An operation of the catalogue, with these values."""

        def act() -> Any:
            self.__dict__ |= values
            return self.perform(BY_NAME[name])

        return act

    def creation(self, name: str) -> Act:
        """The creation of an object, which may have existed and been deleted before."""

        def act() -> Any:
            self.__dict__.pop(name, None)
            return getattr(self, name)

        return act


def states(tenant: Tenant) -> Iterator[Step]:
    """The default of a feature."""
    world = SequenceWorld(tenant)
    old = world.state["feature_state_value"]
    for number in count():
        value, other = f"value {number}", f"value {number}, both"
        both = "default: on and value in one call"
        yield Step("toggle", world.operation("default: on", toggled=True), {"everyone.banner": (True, old)})
        yield Step("value", world.operation("default: value", value=value), {"everyone.banner": (True, value)})
        yield Step("toggle", world.operation("default: on", toggled=False), {"everyone.banner": (False, value)})
        yield Step(
            "toggle and value",
            world.operation(both, toggled=True, value=other),
            {"everyone.banner": (True, other)},
            rows=2,
        )
        yield Step(
            "toggle and value",
            world.operation(both, toggled=False, value=value),
            {"everyone.banner": (False, value)},
            rows=2,
        )
        old = value


def overrides(tenant: Tenant) -> Iterator[Step]:
    """The override of a feature for a segment."""
    world = SequenceWorld(tenant)
    assert world.feature
    assert world.segment
    changed = world.operation("override: value", object_value=text("changed"))
    toggled = world.operation("override: enabled and value in one call", object_value=text("changed"))
    while True:
        # Flagsmith announces the new state before it has a value, and then its value as a change.
        yield Step("override created", world.creation("override"), {"identified.banner": (True, "red")}, rows=2)
        yield Step("override's value", changed, {"identified.banner": (True, "changed")})
        yield Step("override toggled", toggled, {"identified.banner": (False, "changed")})
        yield Step("override removed", world.operation("override: removed"), {"identified.banner": (False, "red")})


def segments(tenant: Tenant) -> Iterator[Step]:
    """The rules of a segment, and the list of segments."""
    world = SequenceWorld(tenant)
    world.segment = tenant.add_segment("professionals", plan="basic")
    assert world.override
    names = {"segments": ["beginners", "professionals"]}
    while True:
        for plan, enabled in (("pro", True), ("basic", False)):
            rules_changed = world.operation("segment: rules", new_rules=rules(plan))
            yield Step("segment's definition", rules_changed, {"identified.banner": (enabled, "red")})
        yield Step("segment created", world.creation("other_segment"), names)
        deleted = partial(world.call, "DELETE", f"{SEGMENTS}{{other_segment}}/")
        yield Step("segment deleted", deleted, {"segments": ["professionals"]})


def multivariate(tenant: Tenant) -> Iterator[Step]:
    """The options of a feature, and their percentages."""
    options = [_option(name, share) for name, share in {"first": 100, "second": 0}.items()]
    feature = tenant.add_feature(
        "banner", type="MULTIVARIATE", initial_value="old", default_enabled=True, multivariate_options=options
    )
    path = f"projects/{tenant.project}/features/{feature['id']}/mv-options/"
    made: Body = {}

    def turn() -> None:
        shares = tenant.state(feature["id"])["multivariate_feature_state_values"]
        turned = [share | {"percentage_allocation": 100 - share["percentage_allocation"]} for share in shares]
        tenant.change(feature["id"], multivariate_feature_state_values=turned)

    def create() -> None:
        made.update(tenant.api.post(path, feature=feature["id"], **_option("third", 0)))

    while True:
        yield Step("shares", turn, {"identified.banner": (True, "second")}, rows=2)
        yield Step("shares", turn, {"identified.banner": (True, "first")}, rows=2)
        yield Step("option created", create, {"options": ["first", "second", "third"]}, rows=2)
        yield Step(
            "option deleted", lambda: tenant.api.delete(f"{path}{made['id']}/"), {"options": ["first", "second"]}
        )


def _option(name: str, share: int) -> Body:
    return {"type": "unicode", "string_value": name, "default_percentage_allocation": share}


def features(tenant: Tenant) -> Iterator[Step]:
    """The list of features."""
    path = f"projects/{tenant.project}/features/"
    made: Body = {}

    def create(**fields: Any) -> None:
        made.update(tenant.add_feature("other", **fields))

    def patch(**fields: Any) -> None:
        tenant.api.patch(f"{path}{made['id']}/", **fields)

    def delete() -> None:
        tenant.api.delete(f"{path}{made['id']}/")

    while True:
        yield Step("feature created", lambda: create(initial_value="new"), {"everyone.other": (False, "new")}, rows=2)
        yield Step("feature deleted", delete, {"everyone.other": None}, rows=3)
        yield Step("feature created", lambda: create(default_enabled=True), {"everyone.other": (True, None)}, rows=2)
        # It is not in the flags of the client-side key.
        yield Step("feature for servers", lambda: patch(is_server_key_only=True), {"flags.other": None})
        yield Step("feature deleted", delete, {"everyone.other": None}, rows=3)


def settings(tenant: Tenant) -> Iterator[Step]:
    """Settings of the environment and of the project. Flagsmith announces the latter with the next change."""
    tenant.add_feature("banner", initial_value="old")
    shown = tenant.add_feature("shown", default_enabled=True)["id"]

    def set_environment(**fields: Any) -> None:
        path = f"environments/{tenant.environment.key}/"
        kept = {name: value for name, value in tenant.api.get(path).items() if name in ("name", "project")}
        tenant.api.put(path, **kept, **fields)

    def set_project(value: str, **fields: Any) -> None:
        tenant.api.patch(f"projects/{tenant.project}/", **fields)
        tenant.change(shown, feature_state_value=value)

    for number in count():
        hidden = {"flags.banner": None, "identity.banner": None}
        yield Step(
            "environment hides flags",
            lambda: set_environment(hide_disabled_flags=True),
            {**hidden, "document.hide_disabled_flags": True},
        )
        yield Step(
            "environment hides none",
            lambda: set_environment(hide_disabled_flags=None),
            {"everyone.banner": (False, "old"), "document.hide_disabled_flags": None},
        )
        yield Step(
            "environment's traits",
            partial(set_environment, hide_disabled_flags=None, allow_client_traits=number % 2 == 1),
            {"document.allow_client_traits": number % 2 == 1},
        )
        yield Step(
            "project hides flags, and a value",
            partial(set_project, f"hiding {number}", hide_disabled_flags=True),
            {**hidden, "everyone.shown": (True, f"hiding {number}")},
            calls=2,
        )
        yield Step(
            "project hides none, and a value",
            partial(set_project, f"showing {number}", hide_disabled_flags=False),
            {"everyone.banner": (False, "old"), "everyone.shown": (True, f"showing {number}")},
            calls=2,
        )


def versions(tenant: Tenant) -> Iterator[Step]:
    """Feature versions, in an environment with versioning v2."""
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    segment = tenant.add_segment("professionals", **TRAITS)["id"]
    use_versions(tenant)

    def default_version(number: int) -> Step:
        value = f"value {number}"
        state = {"feature_segment": None, "enabled": True, "feature_state_value": text(value)}
        return Step(
            "version published",
            lambda: publish(tenant, feature, feature_states_to_update=[state]),
            {"everyone.banner": (True, value)},
        )

    def override_version(kind: str, value: str, **fields: Any) -> Step:
        state = {
            "feature_segment": {"segment": segment, "priority": 0},
            "enabled": True,
            "feature_state_value": text(value),
        }
        return Step(
            f"version: override {kind}",
            lambda: publish(tenant, feature, **{field: [state] for field in fields}),
            {"identified.banner": (True, value)},
        )

    for number in count():
        yield default_version(number)
        yield override_version("created", "for professionals", feature_states_to_create=True)
        yield override_version("changed", "changed", feature_states_to_update=True)
        yield Step(
            "version: override removed",
            lambda: publish(tenant, feature, segment_ids_to_delete_overrides=[segment]),
            {"identified.banner": (True, f"value {number}")},
        )


def use_versions(tenant: Tenant) -> None:
    """Enable feature versioning v2 in the environment, and wait until it is enabled."""
    path = f"environments/{tenant.environment.key}/"
    tenant.api.post(f"{path}enable-v2-versioning/")
    deadline = time.monotonic() + PATIENCE
    while not tenant.api.get(path)["use_v2_feature_versioning"]:
        assert time.monotonic() < deadline, "Flagsmith has not switched to feature versioning v2"


def publish(tenant: Tenant, feature: int, **fields: Any) -> Body:
    """Create and publish a version of the feature."""
    path = f"environments/{tenant.environment.id}/features/{feature}/versions/"
    made: Body = tenant.api.post(path, publish_immediately=True, **fields)
    return made


SEQUENCES: dict[str, Sequence] = {
    made.__name__: made for made in (states, overrides, segments, multivariate, features, settings, versions)
}
