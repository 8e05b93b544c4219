"""The calls that create each kind of object, and the bodies that several operations share."""

from typing import Any

from tests.operations.operation import Operation

FAR = "2100-01-01T00:00:00Z"

RED = {"type": "unicode", "string_value": "red"}

DEFAULT = "environments/{a}/featurestates/{state}/"
SPLIT_DEFAULT = "environments/{a}/featurestates/{split_state}/"
OBJECT_STATES = "features/featurestates/"
FEATURES = "projects/{project}/features/"
FEATURE = FEATURES + "{feature}/"
OPTIONS = FEATURES + "{split}/mv-options/"
OPTION = OPTIONS + "{option}/"
FLAG_AS_A_WHOLE = "/api/__future__/environments/{a}/features/{feature}/"
FEATURE_SEGMENTS = "features/feature-segments/"
SEGMENTS = "projects/{project}/segments/"
SEGMENT = SEGMENTS + "{segment}/"
IDENTITY = "environments/{a}/identities/{identity}/"
IDENTITY_STATES = IDENTITY + "featurestates/"
ENVIRONMENT = "environments/{a}/"
PROJECT = "projects/{project}/"
ORGANISATION = "organisations/{organisation}/"
CHANGE_REQUESTS = "features/workflows/change-requests/"
CHANGE_REQUEST = CHANGE_REQUESTS + "{change_request}/"
SEGMENT_REQUESTS = "projects/{project}/change-requests/"
SEGMENT_REQUEST = SEGMENT_REQUESTS + "{segment_request}/"

CREATE_OVERRIDE = "POST environments/{a}/features/{feature}/create-segment-override/"
CREATE_CHANGE_REQUEST = "POST environments/{a}/create-change-request/"


def rules(plan: str = "pro") -> list[dict[str, Any]]:
    """A segment's rules: the trait ``plan`` has this value."""
    condition = {"operator": "EQUAL", "property": "plan", "value": plan}
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "rules": [], "conditions": [condition]}]}]


def change_request(live_from: str | None = None, feature: str | int = "{feature}") -> dict[str, Any]:
    """The body of a change request that enables a feature in environment A."""
    state = {"feature": feature, "enabled": True, "feature_state_value": "{object_value}", "live_from": live_from}
    return {"title": "on", "feature_states": [state]}


NEW_SEGMENT_REQUEST = {
    "title": "segment",
    "segments": [{"name": "{new_name}", "description": "d", "version_of": "{segment}", "rules": "{new_rules}"}],
}
NEW_OVERRIDE = {"feature_segment": {"segment": "{free_segment}"}, "enabled": True, "feature_state_value": RED}
OVERRIDE = {
    "environment": "{a.pk}",
    "feature": "{feature}",
    "feature_segment": "{override.feature_segment}",
    "enabled": True,
    "feature_state_value": RED,
}
"""The state of ``override``, in the form of a PUT."""
SECOND_STEP = {
    "environment": "{a.pk}",
    "feature": "{feature}",
    "feature_segment": "{feature_segment}",
    "enabled": True,
}
"""The state of ``feature_segment``."""
NEW_OPTION = {
    "type": "unicode",
    "string_value": "c",
    "default_percentage_allocation": "{percentage}",
    "feature": "{split}",
}
IDENTITY_OVERRIDE = {"feature": "{feature}", "enabled": True, "feature_state_value": "mine"}
PERMISSION = {"user": "{member}", "permissions": [], "admin": False}
GROUP_PERMISSION = {"group": "{group}", "permissions": []}
WEBHOOK = {"url": "https://hooks.example.com/"}

OBJECTS = {
    name: Operation(name, call=call, body=body)
    for name, call, body in (
        ("feature", f"POST {FEATURES}", {"name": "banner", "initial_value": "red", "default_enabled": False}),
        (
            "split",
            f"POST {FEATURES}",
            {
                "name": "split",
                "type": "MULTIVARIATE",
                "initial_value": "c",
                "multivariate_options": [
                    {"type": "unicode", "string_value": "a", "default_percentage_allocation": 30},
                    {"type": "unicode", "string_value": "b", "default_percentage_allocation": 20},
                ],
            },
        ),
        ("tag", f"POST {PROJECT}tags/", {"label": "l", "color": "#ff0000"}),
        ("segment", f"POST {SEGMENTS}", {"name": "professionals", "rules": rules()}),
        ("other_segment", f"POST {SEGMENTS}", {"name": "beginners", "rules": rules("free")}),
        ("override", CREATE_OVERRIDE, NEW_OVERRIDE),
        ("other_override", CREATE_OVERRIDE, {**NEW_OVERRIDE, "feature_segment": {"segment": "{other_segment}"}}),
        (
            "split_override",
            CREATE_OVERRIDE.replace("{feature}", "{split}"),
            {
                **NEW_OVERRIDE,
                "multivariate_feature_state_values": [
                    {"multivariate_feature_option": "{split.multivariate_options.0}", "percentage_allocation": 30},
                    {"multivariate_feature_option": "{split.multivariate_options.1}", "percentage_allocation": 20},
                ],
            },
        ),
        (
            "feature_segment",
            f"POST {FEATURE_SEGMENTS}",
            {"feature": "{feature}", "segment": "{free_segment}", "environment": "{a.pk}"},
        ),
        ("identity", "POST environments/{a}/identities/", {"identifier": "ada"}),
        ("other_identity", "POST environments/{a}/identities/", {"identifier": "bob"}),
        ("identity_override", f"POST {IDENTITY_STATES}", IDENTITY_OVERRIDE),
        (
            "trait",
            f"POST {IDENTITY}traits/",
            {"trait_key": "plan", "value_type": "unicode", "string_value": "pro"},
        ),
        ("server_key", f"POST {ENVIRONMENT}api-keys/", {"name": "k"}),
        ("webhook", f"POST {ENVIRONMENT}webhooks/", WEBHOOK),
        ("organisation_webhook", f"POST {ORGANISATION}webhooks/", WEBHOOK),
        ("master_key", f"POST {ORGANISATION}master-api-keys/", {"name": "ci"}),
        (
            "organisation_permission",
            f"POST {ORGANISATION}user-permissions/",
            {"user": "{member}", "permissions": []},
        ),
        ("project_permission", f"POST {PROJECT}user-permissions/", PERMISSION),
        ("environment_permission", f"POST {ENVIRONMENT}user-permissions/", PERMISSION),
        ("empty_group", f"POST {ORGANISATION}groups/", {"name": "g"}),
        ("group", f"POST {ORGANISATION}groups/{{empty_group}}/add-users/", {"user_ids": ["{member}"]}),
        ("organisation_group_permission", f"POST {ORGANISATION}user-group-permissions/", GROUP_PERMISSION),
        ("project_group_permission", f"POST {PROJECT}user-group-permissions/", GROUP_PERMISSION),
        ("environment_group_permission", f"POST {ENVIRONMENT}user-group-permissions/", GROUP_PERMISSION),
        ("invite", f"POST {ORGANISATION}invites/", {"email": "invited@example.org", "role": "USER"}),
        ("invite_link", f"POST {ORGANISATION}invite-links/", {"role": "USER"}),
        ("export", "POST features/create-feature-export/", {"environment_id": "{a.pk}", "tag_ids": []}),
        ("change_request", CREATE_CHANGE_REQUEST, change_request()),
        ("far_request", CREATE_CHANGE_REQUEST, change_request(FAR)),
        (
            "large_request",
            CREATE_CHANGE_REQUEST,
            {
                "title": "default, override and percentages",
                "feature_states": [
                    {"feature": "{feature}", "enabled": True},
                    {
                        "feature": "{feature}",
                        "feature_segment": "{override.feature_segment}",
                        "enabled": False,
                        "feature_state_value": {"type": "unicode", "string_value": "green"},
                    },
                    {"feature": "{split}", "multivariate_feature_state_values": "{shares}"},
                ],
            },
        ),
        (
            "override_request",
            CREATE_CHANGE_REQUEST,
            {
                "title": "override removed",
                "feature_states": [],
                "change_sets": [
                    {
                        "feature": "{feature}",
                        "segment_ids_to_delete_overrides": ["{override.feature_segment.segment}"],
                    }
                ],
            },
        ),
        ("scheduled_request", f"POST {CHANGE_REQUESTS}{{far_request}}/commit/", None),
        ("live_request", f"POST {CHANGE_REQUESTS}{{change_request}}/commit/", None),
        ("segment_request", f"POST {SEGMENT_REQUESTS}", NEW_SEGMENT_REQUEST),
    )
}
