"""Sequences of changes to a real Flagsmith, of all kinds that it announces. Each can be gone through again and again.

A sequence is made for a tenant of its own. What of the API shows a change is said beside it (``Read.unlike``).
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from tests.e2e.changes import TRAITS, Act
from tests.support.api import Body, Tenant, rules, text

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
    """How often Flagsmith announces it at most. It commits what one call changes in so many pieces, each announced by
    itself: only the last event tells of all."""


Sequence = Callable[[Tenant], Iterator[Step]]


def states(tenant: Tenant) -> Iterator[Step]:
    """What an environment says of a feature to everybody."""
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    for number in count():
        yield Step(
            "toggle", lambda: tenant.change(feature, enabled=True), {"everybody.banner": (True, _value(number - 1))}
        )
        value = _value(number)
        yield Step(
            "value", partial(tenant.change, feature, feature_state_value=value), {"everybody.banner": (True, value)}
        )
        yield Step("toggle", lambda: tenant.change(feature, enabled=False), {"everybody.banner": (False, value)})
        yield Step(
            "toggle and value",
            partial(tenant.change, feature, enabled=True, feature_state_value=f"{value}, both"),
            {"everybody.banner": (True, f"{value}, both")},
            rows=2,
        )
        yield Step(
            "toggle and value",
            partial(tenant.change, feature, enabled=False, feature_state_value=value),
            {"everybody.banner": (False, value)},
            rows=2,
        )


def _value(number: int) -> str:
    return f"value {number}" if number >= 0 else "old"


def overrides(tenant: Tenant) -> Iterator[Step]:
    """What a segment's identities get of a feature."""
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    segment = tenant.add_segment("professionals", **TRAITS)["id"]
    made: Body = {}

    def create() -> None:
        made.update(tenant.override(feature, segment, feature_state_value=text("for professionals")))

    def change(enabled: bool, value: str) -> None:
        tenant.api.put(
            f"features/featurestates/{made['id']}/",
            environment=tenant.environment.id,
            feature=feature,
            feature_segment=made["feature_segment"]["id"],
            enabled=enabled,
            feature_state_value=text(value),
        )

    def remove() -> None:
        tenant.api.delete(f"features/feature-segments/{made['feature_segment']['id']}/")

    while True:
        # Its state is announced when it has no value yet, and its value as a change.
        yield Step("override created", create, {"identified.banner": (True, "for professionals")}, rows=2)
        yield Step("override's value", lambda: change(True, "changed"), {"identified.banner": (True, "changed")})
        yield Step("override toggled", lambda: change(False, "changed"), {"identified.banner": (False, "changed")})
        yield Step("override removed", remove, {"identified.banner": (False, "old")})


def segments(tenant: Tenant) -> Iterator[Step]:
    """Who is in a segment, and which there are."""
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    segment = tenant.add_segment("professionals", plan="basic")["id"]
    tenant.override(feature, segment, feature_state_value=text("for professionals"))
    path = f"projects/{tenant.project}/segments/"
    made: Body = {}

    def define(**traits: str) -> None:
        tenant.api.put(f"{path}{segment}/", name="professionals", rules=rules(**traits))

    def create() -> None:
        other = tenant.add_segment("others", **TRAITS)["id"]
        made.update(id=other)

    while True:
        yield Step("segment's definition", lambda: define(**TRAITS), {"identified.banner": (True, "for professionals")})
        yield Step("segment's definition", lambda: define(plan="basic"), {"identified.banner": (False, "old")})
        yield Step("segment created", create, {"segments": ["others", "professionals"]})
        yield Step(
            "segment deleted", lambda: tenant.api.delete(f"{path}{made['id']}/"), {"segments": ["professionals"]}
        )


def multivariate(tenant: Tenant) -> Iterator[Step]:
    """A feature's options, and the share that each has."""
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
    """Which features there are."""
    path = f"projects/{tenant.project}/features/"
    made: Body = {}

    def create(**fields: Any) -> None:
        made.update(tenant.add_feature("other", **fields))

    def patch(**fields: Any) -> None:
        tenant.api.patch(f"{path}{made['id']}/", **fields)

    def delete() -> None:
        tenant.api.delete(f"{path}{made['id']}/")

    while True:
        yield Step("feature created", lambda: create(initial_value="new"), {"everybody.other": (False, "new")}, rows=2)
        yield Step("feature deleted", delete, {"everybody.other": None}, rows=3)
        yield Step("feature created", lambda: create(default_enabled=True), {"everybody.other": (True, None)}, rows=2)
        # With an environment's server key, and to who is not one, it is not served.
        yield Step("feature for servers", lambda: patch(is_server_key_only=True), {"flags.other": None})
        yield Step("feature deleted", delete, {"everybody.other": None}, rows=3)


def settings(tenant: Tenant) -> Iterator[Step]:
    """The environment's settings, and the project's, which are announced with the next change."""
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
            {"everybody.banner": (False, "old"), "document.hide_disabled_flags": None},
        )
        yield Step(
            "environment's traits",
            partial(set_environment, hide_disabled_flags=None, allow_client_traits=number % 2 == 1),
            {"document.allow_client_traits": number % 2 == 1},
        )
        yield Step(
            "project hides flags, and a value",
            partial(set_project, f"hiding {number}", hide_disabled_flags=True),
            {**hidden, "everybody.shown": (True, f"hiding {number}")},
            calls=2,
        )
        yield Step(
            "project hides none, and a value",
            partial(set_project, f"showing {number}", hide_disabled_flags=False),
            {"everybody.banner": (False, "old"), "everybody.shown": (True, f"showing {number}")},
            calls=2,
        )


def versions(tenant: Tenant) -> Iterator[Step]:
    """Features' versions, in an environment that has them."""
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    segment = tenant.add_segment("professionals", **TRAITS)["id"]
    use_versions(tenant)

    def to_all(number: int) -> Step:
        value = f"value {number}"
        state = {"feature_segment": None, "enabled": True, "feature_state_value": text(value)}
        return Step(
            "version published",
            lambda: publish(tenant, feature, feature_states_to_update=[state]),
            {"everybody.banner": (True, value)},
        )

    def to_segment(kind: str, value: str, **fields: Any) -> Step:
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
        yield to_all(number)
        yield to_segment("created", "for professionals", feature_states_to_create=True)
        yield to_segment("changed", "changed", feature_states_to_update=True)
        yield Step(
            "version: override removed",
            lambda: publish(tenant, feature, segment_ids_to_delete_overrides=[segment]),
            {"identified.banner": (True, f"value {number}")},
        )


def use_versions(tenant: Tenant) -> None:
    """Switch the environment to feature versioning v2, and wait until it is."""
    path = f"environments/{tenant.environment.key}/"
    tenant.api.post(f"{path}enable-v2-versioning/")
    deadline = time.monotonic() + PATIENCE
    while not tenant.api.get(path)["use_v2_feature_versioning"]:
        assert time.monotonic() < deadline, "Flagsmith has not switched to feature versioning v2"


def publish(tenant: Tenant, feature: int, **fields: Any) -> Body:
    """Make a new version of the feature, and publish it."""
    path = f"environments/{tenant.environment.id}/features/{feature}/versions/"
    made: Body = tenant.api.post(path, publish_immediately=True, **fields)
    return made


SEQUENCES: dict[str, Sequence] = {
    made.__name__: made for made in (states, overrides, segments, multivariate, features, settings, versions)
}
