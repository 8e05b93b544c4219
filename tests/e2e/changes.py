"""Changes of an admin that an SDK can see: one entry for each kind of trigger.

Each entry prepares a tenant and then makes one change through the Admin API. ``before`` and ``after`` are enabled and
value of the feature ``FEATURE`` for the identity ``IDENTITY`` with the traits ``TRAITS``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.api import Body, Tenant, rules, text
from tests.support.server import ServerProcess

FEATURE = "banner"
IDENTITY = "ada"
TRAITS = {"plan": "pro"}

Seen = tuple[bool, Any]

Act = Callable[[], object]


@dataclass(frozen=True)
class Change:
    prepare: Callable[[Tenant], Act]
    """Creates the state before the change. Returns a function that makes the change."""

    before: Seen
    after: Seen


WRITE_AS_FLAGSMITH = """
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from environments.models import Environment
from features.models import FeatureState
from realtime.types import TICK, reads_as_newer
version = timezone.now()
while not reads_as_newer(version):
    version += TICK
with transaction.atomic():
    FeatureState.objects.filter(pk={state}).update(enabled={enabled})
    Environment.objects.filter(api_key={key!r}).update(updated_at=version, revision=F("revision") + 1)
"""


def write_as_flagsmith(server: ServerProcess, tenant: Tenant, feature: int, enabled: bool) -> None:
    """Write a state and a version to the database as a Flagsmith on the same database does.

    The version is one that the Go SDK's parser rounds up, so the event contains a version that is 1 µs lower.
    """
    state = tenant.state(feature)["id"]
    code = WRITE_AS_FLAGSMITH.format(state=state, enabled=enabled, key=tenant.environment.key)
    server.manage("shell", "-v0", "-c", code)


def banner(tenant: Tenant) -> int:
    """Create the feature, off and with a text value. Returns its id."""
    feature: int = tenant.add_feature(FEATURE, initial_value="old")["id"]
    return feature


def overridden(tenant: Tenant, plan: str = "pro") -> tuple[int, Body, Body]:
    """Create the feature with a segment override. Returns the feature's id, the segment and the override's state."""
    feature = banner(tenant)
    segment = tenant.add_segment("professionals", plan=plan)
    override = tenant.override(feature, segment["id"], feature_state_value=text("for professionals"))
    return feature, segment, override


def toggle(tenant: Tenant) -> Act:
    feature = banner(tenant)
    return lambda: tenant.change(feature, enabled=True)


def value(tenant: Tenant) -> Act:
    feature = banner(tenant)
    return lambda: tenant.change(feature, feature_state_value="new")


def override_created(tenant: Tenant) -> Act:
    feature = banner(tenant)
    segment = tenant.add_segment("professionals", **TRAITS)
    return lambda: tenant.override(feature, segment["id"], feature_state_value=text("for professionals"))


def override_changed(tenant: Tenant) -> Act:
    feature, _, override = overridden(tenant)
    return lambda: tenant.api.put(
        f"features/featurestates/{override['id']}/",
        environment=tenant.environment.id,
        feature=feature,
        feature_segment=override["feature_segment"]["id"],
        enabled=True,
        feature_state_value=text("changed"),
    )


def override_removed(tenant: Tenant) -> Act:
    _, _, override = overridden(tenant)
    return lambda: tenant.api.delete(f"features/feature-segments/{override['feature_segment']['id']}/")


def segment_rule_changed(tenant: Tenant) -> Act:
    _, segment, _ = overridden(tenant, plan="basic")
    return lambda: tenant.api.put(
        f"projects/{tenant.project}/segments/{segment['id']}/", name=segment["name"], rules=rules(**TRAITS)
    )


def weights(tenant: Tenant) -> Act:
    """All identities get the first option, and after the change the second."""
    options = [
        {"type": "unicode", "string_value": name, "default_percentage_allocation": share}
        for name, share in {"first": 100, "second": 0}.items()
    ]
    feature = tenant.add_feature(
        FEATURE, type="MULTIVARIATE", initial_value="old", default_enabled=True, multivariate_options=options
    )
    shares = tenant.state(feature["id"])["multivariate_feature_state_values"]
    swapped = [share | {"percentage_allocation": 100 - share["percentage_allocation"]} for share in shares]
    return lambda: tenant.change(feature["id"], multivariate_feature_state_values=swapped)


def option_changed(tenant: Tenant) -> Act:
    option = {"type": "unicode", "string_value": "first", "default_percentage_allocation": 100}
    feature = tenant.add_feature(
        FEATURE, type="MULTIVARIATE", initial_value="old", default_enabled=True, multivariate_options=[option]
    )
    path = f"projects/{tenant.project}/features/{feature['id']}/mv-options/{feature['multivariate_options'][0]['id']}/"
    return lambda: tenant.api.patch(path, feature=feature["id"], string_value="second")


CHANGES = {
    "toggle": Change(toggle, (False, "old"), (True, "old")),
    "value": Change(value, (False, "old"), (False, "new")),
    "override created": Change(override_created, (False, "old"), (True, "for professionals")),
    "override changed": Change(override_changed, (True, "for professionals"), (True, "changed")),
    "override removed": Change(override_removed, (True, "for professionals"), (False, "old")),
    "segment rule changed": Change(segment_rule_changed, (False, "old"), (True, "for professionals")),
    "multivariate weights": Change(weights, (True, "first"), (True, "second")),
    "multivariate option": Change(option_changed, (True, "first"), (True, "second")),
}
