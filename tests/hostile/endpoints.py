"""Every endpoint that takes a body: a body that it accepts, and the values that each field refuses."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.hostile import values
from tests.operations.catalogue import ADA, OPERATIONS, PRO, SHARES
from tests.operations.objects import (
    CHANGE_REQUEST,
    CREATE_CHANGE_REQUEST,
    CREATE_OVERRIDE,
    DEFAULT,
    ENVIRONMENT,
    FEATURE,
    FEATURE_SEGMENTS,
    FEATURES,
    IDENTITY,
    IDENTITY_STATES,
    NEW_SEGMENT_REQUEST,
    OBJECT_STATES,
    OPTION,
    OPTIONS,
    ORGANISATION,
    PROJECT,
    RED,
    SEGMENT,
    SEGMENT_REQUEST,
    SEGMENT_REQUESTS,
    SEGMENTS,
    SPLIT_DEFAULT,
    change_request,
    rules,
)
from tests.operations.operation import REFERENCE, Operation
from tests.operations.world import World
from tests.support import accounts
from tests.support.receiver import shared

Refused = dict[str, tuple[Any, ...]]
"""The values that each field refuses. Dots lead into the body: "rules.0.type"."""


@dataclass(frozen=True)
class EndPoint:
    """One method of one path."""

    operation: Operation
    """A call that is accepted."""
    fields: Refused = field(default_factory=dict)
    required: tuple[str, ...] = ()
    """Fields that must be there, and must not be null."""

    @property
    def method(self) -> str:
        return self.operation.method

    @property
    def key(self) -> str:
        return self.operation.key

    @property
    def pattern(self) -> str:
        """The absolute path with ``{}`` for each argument."""
        path = REFERENCE.sub("{}", self.operation.call.partition(" ")[2])
        return path if path.startswith("/") else f"/api/v1/{path}"

    def url(self, world: World) -> str:
        return self.operation.path(world)

    def body(self, world: World) -> Any:
        return self.operation.content(world)

    def __str__(self) -> str:
        return f"{self.method} {self.pattern.removeprefix('/api/v1/')}"


BODIES = {operation.call: operation.body for operation in reversed(OPERATIONS) if not operation.refused}
"""The first body in the catalogue, by call."""


def end_point(
    call: str, body: Any = None, fields: Refused | None = None, required: str = "", key: str = "user"
) -> EndPoint:
    """An endpoint. Without a body it accepts that of the catalogue."""
    accepted = Operation(call, call=call, body=BODIES[call] if body is None else body, key=key)
    return EndPoint(accepted, fields or {}, tuple(required.split()))


def both(path: str, body: Any, fields: Refused, required: str = "") -> tuple[EndPoint, EndPoint]:
    """PUT and PATCH of the same object; PATCH requires nothing."""
    return end_point(f"PUT {path}", body, fields, required), end_point(f"PATCH {path}", body, fields)


def below(name: str, fields: Refused) -> Refused:
    """The fields of an object that is itself in this field."""
    return {f"{name}.{field}": refused for field, refused in fields.items()}


def without(refused: tuple[Any, ...], accepted: Any) -> tuple[Any, ...]:
    return tuple(value for value in refused if value != accepted)


PASSWORD = "pa55-word-1"
NEW_PASSWORD = "a-Str0ng-one!"
NEW_PASSWORDS = {"new_password": NEW_PASSWORD, "re_new_password": NEW_PASSWORD}

NAME = values.text(2_000)
NO_TEXT = (*values.WRONG_TYPE_OF_TEXT, values.NULL_BYTE)
LISTS = (*values.LIST, [5], ["x"], [None])
OBJECTS = (*LISTS, [{}])
WEAK_PASSWORD = ([], {}, "password", "x" * 4_097, values.NULL_BYTE)

# Fields of features, states and segments.

OPTION_FIELDS = {
    "type": values.CHOICE,
    "string_value": values.text(20_000),
    "integer_value": values.INTEGER,
    "boolean_value": values.BOOLEAN,
    "default_percentage_allocation": values.PERCENTAGE,
}
FEATURE_FIELDS = {
    "description": NO_TEXT,
    "is_archived": values.BOOLEAN,
    "is_server_key_only": values.BOOLEAN,
    "type": values.CHOICE,
    "tags": values.REFERENCES,
}
NEW_FEATURE_FIELDS = {
    "name": NAME,
    "initial_value": values.VALUE,
    "default_enabled": values.BOOLEAN,
    **FEATURE_FIELDS,
    "owners": values.REFERENCES,
    "multivariate_options": LISTS,
    **below("multivariate_options.0", OPTION_FIELDS),
}
IMPORT_FIELDS = {
    "strategy": values.CHOICE,
    "file": LISTS,
    "file.0.name": NAME,
    "file.0.default_enabled": values.BOOLEAN,
    "file.0.is_server_key_only": values.BOOLEAN,
    "file.0.initial_value": values.text(20_000),
    "file.0.type": values.CHOICE,
    "file.0.value": (*values.VALUE, 5, True),
    "file.0.enabled": values.BOOLEAN,
    "file.0.multivariate": LISTS,
    "file.0.multivariate.0.type": values.CHOICE,
    "file.0.multivariate.0.value": (*values.VALUE, 5, True),
    "file.0.multivariate.0.percentage_allocation": values.PERCENTAGE,
    "file.0.multivariate.0.default_percentage_allocation": values.PERCENTAGE,
}
SHARES_FIELDS = {
    SHARES: OBJECTS,
    f"{SHARES}.0.multivariate_feature_option": values.REFERENCE,
    f"{SHARES}.0.percentage_allocation": values.PERCENTAGE,
}
ENABLED = (*values.BOOLEAN, None)
SCALAR_STATE = {"enabled": ENABLED, "feature_state_value": values.VALUE, "live_from": values.TIME}
TYPED_VALUE = {
    "feature_state_value": values.OBJECT,
    "feature_state_value.type": values.CHOICE,
    "feature_state_value.string_value": values.text(20_000),
    "feature_state_value.integer_value": values.INTEGER,
    "feature_state_value.boolean_value": values.BOOLEAN,
}
OBJECT_STATE = {
    "environment": values.REFERENCE,
    "feature": values.REFERENCE,
    "enabled": ENABLED,
    "live_from": values.TIME,
    **TYPED_VALUE,
}
WHOLE_STATE = {
    "enabled": values.BOOLEAN,
    "value": values.OBJECT,
    "value.type": values.CHOICE,
    "value.value": values.text(20_000),
    "variants": OBJECTS,
}
NEW_OVERRIDE_FIELDS = {
    "feature_segment": (*values.OBJECT, {}),
    "feature_segment.segment": values.REFERENCE,
    "feature_segment.priority": values.INTEGER,
    "enabled": values.BOOLEAN,
    **TYPED_VALUE,
}
FLAG_AS_A_WHOLE = {
    "segment_overrides": [
        {
            "segment": {"id": "{segment}"},
            "priority": 5,
            "enabled": True,
            "value": {"type": "string", "value": "v"},
            "variants": [
                {"id": "{split.multivariate_options.0}", "weight": 40},
                {"id": "{split.multivariate_options.1}", "weight": 10},
            ],
        }
    ]
}
FLAG_AS_A_WHOLE_FIELDS = {
    "environment_default": values.OBJECT,
    **below("environment_default", WHOLE_STATE),
    "segment_overrides": OBJECTS,
    "segment_overrides.0.segment": (*values.OBJECT, {}),
    "segment_overrides.0.segment.id": values.REFERENCE,
    "segment_overrides.0.priority": values.INTEGER,
    **below("segment_overrides.0", WHOLE_STATE),
    # Flagsmith names only the variants if one of them does not exist.
    "segment_overrides.0.variants.0.id": without(values.REFERENCE, 0),
    "segment_overrides.0.variants.0.weight": values.PERCENTAGE,
}
FEATURE_SEGMENT_FIELDS = dict.fromkeys(("feature", "segment", "environment"), values.REFERENCE)
RULES = {
    "rules": (*LISTS, []),
    "rules.0.type": (*values.CHOICE, None),
    "rules.0.conditions": values.LIST,
    "rules.0.rules": (*values.LIST, [5], [None]),
    "rules.0.rules.0.type": values.CHOICE,
    "rules.0.rules.0.conditions": LISTS,
    "rules.0.rules.0.conditions.0.operator": (*values.CHOICE, None),
    "rules.0.rules.0.conditions.0.property": values.text(1_000),
    # Any other value becomes text, as in Flagsmith.
    "rules.0.rules.0.conditions.0.value": ("x" * 1_001, values.NULL_BYTE),
}
SEGMENT_FIELDS = {"name": NAME, "description": NO_TEXT, **RULES}

APPROVALS = (*values.LIST, [5], [{"user": 0}], [{"user": "x"}], [{"user": 2**70}])
CHANGE_REQUEST_FIELDS = {
    "title": values.text(500),
    "description": NO_TEXT,
    "ignore_conflicts": values.BOOLEAN,
    "feature_states": OBJECTS,
    "feature_states.0.feature": values.REFERENCE,
    "feature_states.0.enabled": values.BOOLEAN,
    "feature_states.0.live_from": values.TIME,
    **below("feature_states.0", TYPED_VALUE),
    "approvals": APPROVALS,
}
CHANGE_SET_FIELDS = {
    "change_sets": OBJECTS,
    "change_sets.0.feature": values.REFERENCE,
    "change_sets.0.live_from": values.TIME,
    "change_sets.0.segment_ids_to_delete_overrides": values.REFERENCES,
    "change_sets.0.feature_states_to_update": OBJECTS,
    "change_sets.0.feature_states_to_update.0.feature_segment": (*values.OBJECT, {}),
    "change_sets.0.feature_states_to_update.0.feature_segment.segment": values.REFERENCE,
    "change_sets.0.feature_states_to_update.0.feature_segment.priority": values.INTEGER,
}
SEGMENT_REQUEST_FIELDS = {
    "title": values.text(500),
    "description": NO_TEXT,
    "segments": OBJECTS,
    "segments.0.version_of": values.REFERENCE,
    "segments.0.name": NAME,
    "segments.0.feature": values.REFERENCE,
    **below("segments.0", RULES),
    "approvals": APPROVALS,
}

# Fields of identities and their traits.

TRAIT_FIELDS = {
    "trait_key": values.text(200),
    "value_type": values.CHOICE,
    "string_value": values.text(2_000),
    "integer_value": values.INTEGER,
    "boolean_value": values.BOOLEAN,
    "float_value": ("x", [], {}, 10**400, values.INFINITE, "NaN", "Infinity"),
}
EVALUATE_FIELDS = {
    "identifier": values.text(2_000),
    "traits": OBJECTS,
    "traits.0.trait_key": values.text(200),
    "traits.0.trait_value": values.TRAIT_VALUE,
    "traits.0.transient": values.BOOLEAN,
}
SDK_TRAIT_FIELDS = {
    "trait_key": values.text(200),
    "trait_value": values.TRAIT_VALUE,
    "identity": (5, "x", [], {}, None),
}

FLAGS = (
    end_point(
        f"POST {FEATURES}",
        {
            "name": "new",
            "initial_value": "v",
            "type": "MULTIVARIATE",
            "multivariate_options": [{"type": "unicode", "string_value": "a", "default_percentage_allocation": 30}],
        },
        NEW_FEATURE_FIELDS,
        "name",
    ),
    *both(FEATURE, {"name": "banner", "description": "d"}, FEATURE_FIELDS),
    end_point(f"POST {FEATURE}add-owners/", None, {"user_ids": values.REFERENCES}, "user_ids"),
    # A user who is no owner can be removed.
    end_point(f"POST {FEATURE}remove-owners/", None, {"user_ids": without(values.REFERENCES, [0])}, "user_ids"),
    end_point(f"POST {FEATURE}add-group-owners/", None, {"group_ids": values.REFERENCES}, "group_ids"),
    end_point(
        f"POST {FEATURE}remove-group-owners/",
        {"group_ids": ["{group}"]},
        {"group_ids": without(values.REFERENCES, [0])},
        "group_ids",
    ),
    end_point(
        "POST features/create-feature-export/",
        {"environment_id": "{a.pk}", "tag_ids": ["{tag}"]},
        {"environment_id": values.REFERENCE, "tag_ids": values.REFERENCES},
        "environment_id tag_ids",
    ),
    end_point("POST features/feature-import/{a.pk}", None, IMPORT_FIELDS, "file strategy"),
    end_point(f"POST {OPTIONS}", None, OPTION_FIELDS),
    *both(OPTION, {"type": "unicode", "string_value": "z", "feature": "{split}"}, OPTION_FIELDS),
    end_point(
        f"POST {ENVIRONMENT}featurestates/",
        {"feature": "{bare_feature}", "enabled": True, "feature_state_value": "v"},
        {**SCALAR_STATE, "feature": values.REFERENCE},
        "feature",
    ),
    end_point(
        f"PUT {SPLIT_DEFAULT}",
        {"enabled": True, "feature_state_value": "v", SHARES: "{shares}"},
        {**SCALAR_STATE, **SHARES_FIELDS},
    ),
    end_point(
        f"PATCH {DEFAULT}",
        {"enabled": True, "feature_state_value": "v"},
        {"enabled": ENABLED, "feature_state_value": values.VALUE},
    ),
    end_point(
        f"POST {OBJECT_STATES}", None, {**OBJECT_STATE, "feature_segment": values.REFERENCE}, "environment feature"
    ),
    end_point(
        f"PUT {OBJECT_STATES}{{split_override}}/",
        {
            "environment": "{a.pk}",
            "feature": "{split}",
            "enabled": True,
            "feature_state_value": RED,
            SHARES: "{override_shares}",
        },
        {**OBJECT_STATE, **SHARES_FIELDS},
        "environment feature",
    ),
    end_point(
        f"PATCH {OBJECT_STATES}{{override}}/",
        {"enabled": False, "feature_state_value": RED},
        {"enabled": values.BOOLEAN, **TYPED_VALUE},
    ),
    end_point(CREATE_OVERRIDE, None, NEW_OVERRIDE_FIELDS, "feature_segment"),
    *both("/api/__future__/environments/{a}/features/{split}/", FLAG_AS_A_WHOLE, FLAG_AS_A_WHOLE_FIELDS),
    end_point(f"POST {FEATURE_SEGMENTS}", None, FEATURE_SEGMENT_FIELDS, "feature segment environment"),
    *both(
        f"{FEATURE_SEGMENTS}{{feature_segment}}/",
        BODIES[f"POST {FEATURE_SEGMENTS}"],
        FEATURE_SEGMENT_FIELDS,
        "feature segment environment",
    ),
    end_point(
        f"POST {FEATURE_SEGMENTS}update-priorities/",
        [{"id": "{override.feature_segment}", "priority": 3}],
        {"0": (5, "x", [], None), "0.id": values.INTEGER, "0.priority": values.INTEGER},
        "0.id 0.priority",
    ),
    end_point(f"POST {SEGMENTS}", None, {**SEGMENT_FIELDS, "feature": values.REFERENCE}, "name rules"),
    *both(SEGMENT, {"name": "renamed", "rules": rules("max")}, SEGMENT_FIELDS, "name rules"),
    end_point(f"POST {SEGMENT}clone/", None, {"name": NAME}, "name"),
    end_point("POST environments/{a}/identities/", {"identifier": "u7"}, {"identifier": NAME}, "identifier"),
    *both(IDENTITY, {"identifier": "u7"}, {"identifier": NAME}, "identifier"),
    end_point(
        f"POST {IDENTITY}traits/",
        {"trait_key": "k", "value_type": "unicode", "string_value": "v"},
        TRAIT_FIELDS,
        "trait_key",
    ),
    *both(
        f"{IDENTITY}traits/{{trait}}/",
        {"trait_key": "plan", "value_type": "unicode", "string_value": "v"},
        TRAIT_FIELDS,
        "trait_key",
    ),
    end_point(
        "POST environments/{a}/evaluate/",
        {"identifier": "u7", "traits": [{"trait_key": "plan", "trait_value": "pro", "transient": False}]},
        EVALUATE_FIELDS,
    ),
    end_point(
        "POST environments/{a}/segments/{segment}/check/",
        {"identifier": "u7", "traits": [{"trait_key": "plan", "trait_value": "pro", "transient": False}]},
        EVALUATE_FIELDS,
    ),
    end_point("POST environments/{a}/check-key/", {"key": "typo"}, {"key": values.text(2_000)}, "key"),
    end_point(
        f"POST {IDENTITY_STATES}",
        None,
        {"feature": values.REFERENCE, "enabled": values.BOOLEAN, "feature_state_value": values.VALUE},
        "feature",
    ),
    *both(
        f"{IDENTITY_STATES}{{identity_override}}/",
        {"feature": "{feature}", "enabled": False, "feature_state_value": "yours"},
        {"enabled": values.BOOLEAN, "feature_state_value": values.VALUE},
    ),
    end_point(
        "POST environments/{a}/identities/{other_identity}/featurestates/clone-from-given-identity/",
        None,
        {"source_identity_id": values.INTEGER},
        "source_identity_id",
    ),
)

WORKFLOW = (
    end_point(
        CREATE_CHANGE_REQUEST,
        {
            **change_request(),
            "change_sets": [
                {
                    "feature": "{feature}",
                    "feature_states_to_update": [
                        {"feature_segment": {"segment": "{override.feature_segment.segment}", "priority": 3}}
                    ],
                }
            ],
        },
        CHANGE_REQUEST_FIELDS | CHANGE_SET_FIELDS,
        "title feature_states",
    ),
    *both(CHANGE_REQUEST, change_request(), CHANGE_REQUEST_FIELDS, "title feature_states"),
    end_point(f"POST {SEGMENT_REQUESTS}", None, SEGMENT_REQUEST_FIELDS, "title segments"),
    *both(SEGMENT_REQUEST, NEW_SEGMENT_REQUEST, SEGMENT_REQUEST_FIELDS, "title segments"),
)

SDK = (
    end_point(
        "POST identities/",
        {**ADA, "traits": [PRO], "transient": False},
        {
            "identifier": values.text(2_000),
            "transient": values.BOOLEAN,
            "traits": OBJECTS,
            "traits.0.trait_key": values.text(200),
            "traits.0.trait_value": values.TRAIT_VALUE,
            "traits.0.transient": values.BOOLEAN,
        },
        key="sdk",
    ),
    end_point(
        "POST traits/",
        None,
        {**SDK_TRAIT_FIELDS, "identity.identifier": values.text(2_000)},
        "identity trait_key",
        key="sdk",
    ),
    *(
        end_point(
            f"{method} traits/bulk/",
            [{"identity": ADA, **PRO}],
            {"0": (5, "x", [], None), **below("0", SDK_TRAIT_FIELDS)},
            "0.identity 0.trait_key",
            key="sdk",
        )
        for method in ("PUT", "POST")
    ),
    end_point("POST analytics/flags/", None, key="sdk"),
)

# Fields of users, organisations, projects and environments.

USER_FIELDS = {"first_name": values.text(150), "last_name": values.text(150)}
ORGANISATION_FIELDS = {
    "name": NAME,
    "webhook_notification_email": values.EMAIL,
    "restrict_project_create_to_admin": values.BOOLEAN,
    "force_2fa": values.BOOLEAN,
}
PROJECT_FIELDS = {
    "name": NAME,
    "hide_disabled_flags": values.BOOLEAN,
    "prevent_flag_defaults": values.BOOLEAN,
    "enable_realtime_updates": values.BOOLEAN,
    "stale_flags_limit_days": values.INTEGER,
    "only_allow_lower_case_feature_names": values.BOOLEAN,
    "feature_name_regex": (*values.text(255), "[", "*"),
    "minimum_change_request_approvals": values.INTEGER,
    "enforce_feature_owners": values.BOOLEAN,
}
ENVIRONMENT_FIELDS = {
    "name": NAME,
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
SERVER_KEY_FIELDS = {"name": values.text(100), "expires_at": values.TIME, "active": values.BOOLEAN}
MASTER_KEY_FIELDS = {"name": values.text(50), "expiry_date": values.TIME, "revoked": values.BOOLEAN}
TAG_FIELDS = {"label": values.text(100), "color": values.text(10), "description": values.text(512)}
NEW_TAG = {"label": "new", "color": "#ff0000"}
WEBHOOK_FIELDS = {
    "url": (
        *values.text(200),
        "x",
        "ftp://example.com/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "https://user@169.254.169.254/",
        "http://example.com:25/",
        "http://example.com:65536/",
        "http://example.com\r\nX: y/",
    ),
    "enabled": values.BOOLEAN,
    "secret": values.text(255),
}
PERMISSIONS = (*values.LIST, ["NO_SUCH"], [5], [[]], [{}])
GROUP_FIELDS = {"name": values.text(200), "is_default": values.BOOLEAN, "external_id": values.text(255)}
INVITE_FIELDS = {"email": values.EMAIL, "role": values.CHOICE, "permission_groups": values.REFERENCES}
INVITE = {"email": "new@example.org", "role": "USER", "permission_groups": ["{group}"]}
# The ids of objects that need not exist.
IDS = (*values.LIST, ["x"], [2**70], [[]], [{}], [None])


def permissions(name: str, parent: str, given: dict[str, Any]) -> Iterator[EndPoint]:
    """The permissions of users and groups in an organisation, a project or an environment."""
    changeable = {"permissions": PERMISSIONS} | ({"admin": values.BOOLEAN} if "admin" in given else {})
    for kind, path, holder in (("", "user-permissions/", "user"), ("_group", "user-group-permissions/", "group")):
        body = {holder: "{member}" if holder == "user" else "{group}", **given}
        yield end_point(f"POST {parent}{path}", body, {holder: values.REFERENCE, **changeable}, holder)
        ignored = {"group": values.REFERENCE} if holder == "group" and "admin" in given else {}
        yield from both(f"{parent}{path}{{{name}{kind}_permission}}/", body, changeable | ignored)


def webhooks(parent: str, name: str) -> Iterator[EndPoint]:
    body = {"url": "https://hooks.example.com/", "enabled": True, "secret": "s"}
    yield end_point(f"POST {parent}webhooks/", body, WEBHOOK_FIELDS, "url")
    changed = {"url": "https://hooks.example.com/other"}
    yield from both(f"{parent}webhooks/{{{name}}}/", changed, WEBHOOK_FIELDS, "url")


TENANT = (
    *permissions("organisation", ORGANISATION, {"permissions": ["CREATE_PROJECT"]}),
    *permissions("project", PROJECT, {"permissions": ["VIEW_PROJECT"], "admin": False}),
    *permissions("environment", ENVIRONMENT, {"permissions": ["VIEW_ENVIRONMENT"], "admin": False}),
    end_point(
        f"POST {ORGANISATION}groups/", {"name": "new", "is_default": False, "external_id": None}, GROUP_FIELDS, "name"
    ),
    *both(
        f"{ORGANISATION}groups/{{group}}/",
        {"name": "other", "is_default": False, "external_id": "x"},
        GROUP_FIELDS,
        "name",
    ),
    *(
        end_point(
            f"POST {ORGANISATION}groups/{{group}}/{verb}-users/",
            {"user_ids": ["{member}"]},
            {"user_ids": (*refused, [-1])},
            "user_ids",
        )
        for verb, refused in (("add", values.REFERENCES), ("remove", IDS))
    ),
    end_point(
        f"POST {ORGANISATION}invite/",
        {"invites": [INVITE]},
        {
            "invites": OBJECTS,
            **below("invites.0", INVITE_FIELDS),
            "emails": (*values.LIST, ["x"], [5], [None], [[]]),
        },
        "invites.0.email",
    ),
    end_point(f"POST {ORGANISATION}invites/", INVITE, INVITE_FIELDS, "email"),
    end_point(
        f"POST {ORGANISATION}invite-links/",
        {"role": "USER", "expires_at": None},
        {"role": values.CHOICE, "expires_at": values.TIME},
    ),
    end_point(
        "POST auth/users/",
        {"email": "new@example.com", "password": NEW_PASSWORD, "first_name": "N", "last_name": "N"},
        {"email": values.EMAIL, "password": ([], {}, "password", values.NULL_BYTE), **USER_FIELDS},
        "email password first_name last_name",
        key="none",
    ),
    end_point(
        "POST auth/login/",
        {"email": "{user.email}", "password": PASSWORD},
        {"email": NO_TEXT, "password": NO_TEXT},
        "email password",
        key="none",
    ),
    end_point(
        "POST auth/login/code/",
        lambda world: accounts.code_login(world.user),
        {"ephemeral_token": (*NO_TEXT, "x" * 1_001), "code": (*NO_TEXT, "x" * 101)},
        "ephemeral_token code",
        key="none",
    ),
    end_point(
        "POST auth/app/activate/confirm/",
        lambda world: {"code": accounts.code_of(world.user, confirmed=False)},
        {"code": (*NO_TEXT, "x" * 101)},
        "code",
    ),
    end_point(
        "POST auth/users/reset_password/",
        {"email": "nobody@example.com"},
        {"email": values.EMAIL},
        "email",
        key="none",
    ),
    end_point(
        "POST auth/users/reset_password_confirm/",
        lambda world: {**accounts.reset_link(world.user), **NEW_PASSWORDS},
        {"new_password": WEAK_PASSWORD, "uid": NO_TEXT, "token": values.text(2_000)},
        "uid token new_password re_new_password",
        key="none",
    ),
    end_point(
        "POST auth/users/set_password/",
        {"current_password": PASSWORD, **NEW_PASSWORDS},
        {"new_password": WEAK_PASSWORD, "current_password": (*NO_TEXT, "wrong")},
        "current_password new_password re_new_password",
    ),
    *both("auth/users/me/", {"first_name": "N", "last_name": "N"}, USER_FIELDS, "first_name last_name"),
    end_point(
        "POST organisations/",
        {"name": "Second", "restrict_project_create_to_admin": False, "force_2fa": False},
        ORGANISATION_FIELDS,
        "name",
    ),
    *both(ORGANISATION, {"name": "Renamed"}, ORGANISATION_FIELDS, "name"),
    end_point(f"POST {ORGANISATION}users/{{member}}/update-role/", None, {"role": values.CHOICE}, "role"),
    end_point(f"POST {ORGANISATION}remove-users/", None, {"0.id": values.INTEGER}, "0.id"),
    end_point(f"POST {ORGANISATION}master-api-keys/", None, MASTER_KEY_FIELDS, "name"),
    *both(f"{ORGANISATION}master-api-keys/{{master_key.prefix}}/", {"name": "other"}, MASTER_KEY_FIELDS, "name"),
    end_point("POST projects/", None, {"organisation": values.REFERENCE, **PROJECT_FIELDS}, "name organisation"),
    *both(PROJECT, {"name": "Renamed", "organisation": "{organisation}"}, PROJECT_FIELDS, "name"),
    end_point(f"POST {PROJECT}tags/", NEW_TAG, TAG_FIELDS, "label"),
    *both(f"{PROJECT}tags/{{tag}}/", NEW_TAG, TAG_FIELDS, "label"),
    end_point("POST environments/", None, {"project": values.REFERENCE, **ENVIRONMENT_FIELDS}, "name project"),
    *both(
        ENVIRONMENT,
        {"name": "Renamed", "project": "{project}"},
        {"api_key": values.text(100), **ENVIRONMENT_FIELDS},
        "name",
    ),
    end_point(f"POST {ENVIRONMENT}clone/", None, {"name": NAME, "clone_feature_states_async": values.BOOLEAN}, "name"),
    end_point(f"POST {ENVIRONMENT}api-keys/", None, SERVER_KEY_FIELDS, "name"),
    *both(f"{ENVIRONMENT}api-keys/{{server_key}}/", {"name": "l"}, SERVER_KEY_FIELDS, "name"),
    *webhooks(ENVIRONMENT, "webhook"),
    *webhooks(ORGANISATION, "organisation_webhook"),
    end_point(
        "POST webhooks/test/",
        lambda world: {
            "webhook_url": shared().url,
            "scope": {"type": "environment", "id": world.a.api_key},
            "secret": "s",
        },
        {
            "webhook_url": WEBHOOK_FIELDS["url"],
            "scope": values.OBJECT,
            "scope.type": values.CHOICE,
            "scope.id": (*NO_TEXT, "no such", ""),
            "secret": values.text(255),
        },
        "webhook_url scope scope.type scope.id",
    ),
    end_point(
        f"POST {ENVIRONMENT}delete-traits/",
        {"key": "{trait.trait_key}"},
        {"key": ([], {}, values.NULL_BYTE)},
        "key",
    ),
)

END_POINTS = (*TENANT, *FLAGS, *WORKFLOW, *SDK)
