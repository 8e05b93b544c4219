"""The environment document in Flagsmith's format, as ``environment-document/`` serves it.

Only the fields that an evaluation reads are required. A document can have others, and the response contains them.
"""

from typing import NotRequired, TypedDict

Value = str | int | bool | None
"""The value of a flag."""


class Feature(TypedDict):
    id: int
    name: str
    type: str
    """STANDARD or MULTIVARIATE."""


class MultivariateOption(TypedDict):
    value: Value
    id: NotRequired[int | None]
    key: NotRequired[str | None]


class MultivariateValue(TypedDict):
    """An option of a multivariate feature, and its percentage in one feature state."""

    multivariate_feature_option: MultivariateOption
    percentage_allocation: float
    id: NotRequired[int | None]
    mv_fs_value_uuid: NotRequired[str]


class Priority(TypedDict):
    """``feature_segment`` of a segment override. Overrides with a lower priority number take precedence."""

    priority: int | None


class FeatureState(TypedDict):
    feature: Feature
    enabled: bool
    feature_state_value: Value
    django_id: NotRequired[int | None]
    featurestate_uuid: NotRequired[str]
    feature_segment: NotRequired[Priority | None]
    multivariate_feature_state_values: NotRequired[list[MultivariateValue]]


class Condition(TypedDict):
    operator: str
    property_: str | None
    value: str | list[str] | None


class Rule(TypedDict):
    type: str
    conditions: NotRequired[list[Condition]]
    rules: NotRequired[list["Rule"]]


class Segment(TypedDict):
    id: int
    name: str
    rules: list[Rule]
    feature_states: NotRequired[list[FeatureState]]


class Project(TypedDict):
    segments: list[Segment]
    hide_disabled_flags: NotRequired[bool]
    server_key_only_feature_ids: NotRequired[list[int]]


class IdentityOverrides(TypedDict):
    """The overrides of one identity. Its ``identity_traits`` are not evaluated, as in SDKs."""

    identifier: str
    identity_features: list[FeatureState]
    django_id: NotRequired[int | None]
    """The identity's primary key."""


class HashingSettings(TypedDict):
    """The fields that determine an identity's hashing key."""

    api_key: str
    use_identity_composite_key_for_hashing: NotRequired[bool]


class EnvironmentDocument(HashingSettings):
    id: int
    name: str
    project: Project
    feature_states: list[FeatureState]
    identity_overrides: NotRequired[list[IdentityOverrides]]
    hide_disabled_flags: NotRequired[bool | None]
    """None: the project's setting."""

    hide_sensitive_data: NotRequired[bool]
    allow_client_traits: NotRequired[bool]


def hides_disabled_flags(document: EnvironmentDocument) -> bool:
    """The environment's setting, or the project's if the environment has none."""
    own = document.get("hide_disabled_flags")
    return bool(document["project"].get("hide_disabled_flags") if own is None else own)


def hashing_key(settings: HashingSettings, identifier: str, identity_id: int | None) -> str:
    """The key that is hashed for percentage splits of an identity.

    SDKs that evaluate locally know only the composite key. Identities that are not stored have no other one.
    """
    if identity_id is None or settings.get("use_identity_composite_key_for_hashing", True):
        return f"{settings['api_key']}_{identifier}"
    return str(identity_id)
