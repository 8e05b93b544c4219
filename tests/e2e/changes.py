"""What an admin can change that an SDK sees: one entry a kind of trigger.

Each entry prepares a tenant, then changes one thing by the Admin API. What counts is what the identity ``IDENTITY``,
whose traits are ``TRAITS``, gets for the feature ``FEATURE`` before and after: (enabled, value).
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
    """A kind of trigger."""

    prepare: Callable[[Tenant], Act]
    """Brings the tenant to the state before, and returns what then makes the change."""

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
    """Write a state, with a version that was not chosen for SDKs' parsers, as a Flagsmith beside the server does.

    The Go SDK would read it as newer than itself, so the event prints it 1 µs lower than header and document.
    """
    state = tenant.state(feature)["id"]
    code = WRITE_AS_FLAGSMITH.format(state=state, enabled=enabled, key=tenant.environment.key)
    server.manage("shell", "-v0", "-c", code)


def banner(tenant: Tenant) -> int:
    """The feature: off, with a text value."""
    feature: int = tenant.add_feature(FEATURE, initial_value="old")["id"]
    return feature


def overridden(tenant: Tenant, plan: str = "pro") -> tuple[int, Body, Body]:
    """The feature with an override for a segment: the feature's id, the segment, the override's state."""
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
    """All identities get one option, then all get the other."""
    options = [
        {"type": "unicode", "string_value": name, "default_percentage_allocation": share}
        for name, share in {"first": 100, "second": 0}.items()
    ]
    feature = tenant.add_feature(
        FEATURE, type="MULTIVARIATE", initial_value="old", default_enabled=True, multivariate_options=options
    )
    shares = tenant.state(feature["id"])["multivariate_feature_state_values"]
    turned = [share | {"percentage_allocation": 100 - share["percentage_allocation"]} for share in shares]
    return lambda: tenant.change(feature["id"], multivariate_feature_state_values=turned)


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
