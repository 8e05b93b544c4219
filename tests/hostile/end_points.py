"""Every end point that takes a body: a body that it accepts, and what each field must refuse."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.hostile import values
from tests.triggers.world import World

NAME = values.text(2_000)
FLAG_VALUE = {"type": "unicode", "string_value": "v"}

TYPED = {
    "feature_state_value": values.OBJECT,
    "feature_state_value.type": values.CHOICE,
    "feature_state_value.string_value": values.text(20_000),
    "feature_state_value.integer_value": values.INTEGER,
    "feature_state_value.boolean_value": values.BOOLEAN,
}
SHARES = {
    "multivariate_feature_state_values": (*values.LIST, [5], [{}], ["x"], [None]),
    "multivariate_feature_state_values.0.multivariate_feature_option": values.REFERENCE,
    "multivariate_feature_state_values.0.percentage_allocation": values.PERCENTAGE,
}
OPTION = {
    "type": values.CHOICE,
    "string_value": values.text(20_000),
    "integer_value": values.INTEGER,
    "boolean_value": values.BOOLEAN,
    "default_percentage_allocation": values.PERCENTAGE,
}
RULES = {
    "rules": (*values.LIST, [], [5], [None], ["x"]),
    "rules.0.type": (*values.CHOICE, None),
    "rules.0.conditions": values.LIST,
    "rules.0.rules": (*values.LIST, [5], [None]),
    "rules.0.rules.0.type": values.CHOICE,
    "rules.0.rules.0.conditions": (*values.LIST, [5], [None], ["x"]),
    "rules.0.rules.0.conditions.0.operator": (*values.CHOICE, None),
    "rules.0.rules.0.conditions.0.property": values.text(1_000),
    # Anything else becomes text, as in Flagsmith.
    "rules.0.rules.0.conditions.0.value": ("x" * 1_001, values.NULL_BYTE),
}
PERMISSION = {
    "user": values.REFERENCE,
    "permissions": (*values.LIST, ["NO_SUCH"], [5], [[]], [{}]),
    "admin": values.BOOLEAN,
}
SETTINGS_OF_PROJECT = {
    "hide_disabled_flags": values.BOOLEAN,
    "prevent_flag_defaults": values.BOOLEAN,
    "enable_realtime_updates": values.BOOLEAN,
    "stale_flags_limit_days": values.INTEGER,
    "only_allow_lower_case_feature_names": values.BOOLEAN,
    "feature_name_regex": (*values.text(255), "[", "*"),
    "minimum_change_request_approvals": values.INTEGER,
    "enforce_feature_owners": values.BOOLEAN,
}
SETTINGS_OF_ENVIRONMENT = {
    "description": values.text(20_000),
    "allow_client_traits": values.BOOLEAN,
    "banner_text": values.text(255),
    "banner_colour": values.text(7),
    "hide_disabled_flags": values.BOOLEAN,
    "use_identity_composite_key_for_hashing": values.BOOLEAN,
    "hide_sensitive_data": values.BOOLEAN,
    "use_identity_overrides_in_local_eval": values.BOOLEAN,
    "minimum_change_request_approvals": values.INTEGER,
}
TRAIT = {
    "trait_key": values.text(200),
    "value_type": values.CHOICE,
    "string_value": values.text(2_000),
    "integer_value": values.INTEGER,
    "boolean_value": values.BOOLEAN,
    "float_value": ("x", [], {}, 10**400, values.INFINITE, "NaN", "Infinity"),
}


@dataclass(frozen=True)
class EndPoint:
    """One method of one path."""

    method: str
    path: Callable[[World], str]
    body: Callable[[World], Any]
    """A body that is accepted."""
    fields: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """What each field must refuse. Dots lead into the body: "rules.0.type"."""
    required: tuple[str, ...] = ()
    """Fields that must be there, and must not be null."""
    key: str = "user"
    """Whose key it takes: user, sdk or none."""
    says: str = ""
    root: str = "api/v1/"
    """What paths are below of."""

    def url(self, world: World) -> str:
        return f"/{self.root}{self.path(world)}"

    def __str__(self) -> str:
        return f"{self.method} {self.says}"


def end_point(says: str, path: Callable[[World], str], body: Callable[[World], Any], **more: Any) -> EndPoint:
    method, _, says = says.partition(" ")
    return EndPoint(method, path, body, says=says, **more)


def both(says: str, path: Callable[[World], str], body: Callable[[World], Any], **more: Any) -> tuple[EndPoint, ...]:
    """PUT and PATCH of the same object; PATCH needs nothing."""
    return (
        end_point(f"PUT {says}", path, body, **more),
        end_point(f"PATCH {says}", path, body, **{**more, "required": ()}),
    )
