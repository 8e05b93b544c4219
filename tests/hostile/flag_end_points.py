"""Features, their states, segments, identities, and what SDKs call."""

from tests.hostile import values
from tests.hostile.end_points import (
    FLAG_VALUE,
    NAME,
    OPTION,
    RULES,
    SHARES,
    TRAIT,
    TYPED,
    EndPoint,
    both,
    end_point,
)
from tests.triggers.world import U1, rules

FEATURE = {
    "description": ([], {}, True, values.NULL_BYTE),
    "is_archived": values.BOOLEAN,
    "is_server_key_only": values.BOOLEAN,
    "type": values.CHOICE,
    "tags": values.REFERENCES,
}
SCALAR_STATE = {"enabled": (*values.BOOLEAN, None), "feature_state_value": values.VALUE, "live_from": values.TIME}
OBJECT_STATE = {
    "environment": values.REFERENCE,
    "feature": values.REFERENCE,
    "enabled": (*values.BOOLEAN, None),
    "live_from": values.TIME,
    **TYPED,
}
WHOLE_STATE = {
    "enabled": values.BOOLEAN,
    "value": values.OBJECT,
    "value.type": values.CHOICE,
    "value.value": values.text(20_000),
    "variants": (*values.LIST, [5], [{}], ["x"], [None]),
}
CHANGE_REQUEST = {
    "title": values.text(500),
    "description": ([], {}, True, values.NULL_BYTE),
    "ignore_conflicts": values.BOOLEAN,
    "feature_states": (*values.LIST, [5], ["x"], [None], [{}]),
    "feature_states.0.feature": values.REFERENCE,
    "feature_states.0.enabled": values.BOOLEAN,
    "feature_states.0.live_from": values.TIME,
    **{f"feature_states.0.{name}": bad for name, bad in TYPED.items()},
    "approvals": (*values.LIST, [5], [{"user": 0}], [{"user": "x"}], [{"user": 2**70}]),
}
SEGMENT_CHANGE_REQUEST = {
    "title": values.text(500),
    "description": ([], {}, True, values.NULL_BYTE),
    "segments": (*values.LIST, [5], ["x"], [None], [{}]),
    "segments.0.version_of": values.REFERENCE,
    "segments.0.name": NAME,
    "segments.0.feature": values.REFERENCE,
    **{f"segments.0.{name}": bad for name, bad in RULES.items()},
    "approvals": (*values.LIST, [5], [{"user": 0}], [{"user": "x"}], [{"user": 2**70}]),
}
SDK_TRAIT = {"trait_key": values.text(200), "trait_value": values.TRAIT_VALUE, "identity": (5, "x", [], {}, None)}

FLAGS: tuple[EndPoint, ...] = (
    end_point(
        "POST projects/{id}/features/",
        lambda w: w.features,
        lambda w: {
            "name": "new",
            "initial_value": "v",
            "type": "MULTIVARIATE",
            "multivariate_options": [
                {"type": "unicode", "string_value": "a", "default_percentage_allocation": 30},
            ],
        },
        fields={
            "name": NAME,
            "initial_value": ([], {}, "x" * 20_001, values.NULL_BYTE),
            "default_enabled": values.BOOLEAN,
            **FEATURE,
            "owners": values.REFERENCES,
            "multivariate_options": (*values.LIST, [5], ["x"], [None]),
            **{f"multivariate_options.0.{name}": bad for name, bad in OPTION.items()},
        },
        required=("name",),
    ),
    *both(
        "projects/{id}/features/{id}/",
        lambda w: f"{w.features}{w.feature['id']}/",
        lambda w: {"name": "banner", "description": "d"},
        fields=FEATURE,
    ),
    *(
        end_point(
            f"POST projects/{{id}}/features/{{id}}/{action}/",
            lambda w, action=action: f"{w.features}{w.feature['id']}/{action}/",
            lambda w: {"user_ids": [w.user.pk]},
            fields={"user_ids": bad},
            required=("user_ids",),
        )
        for action, bad in (
            ("add-owners", values.REFERENCES),
            # Nobody has to own it to be removed.
            ("remove-owners", tuple(value for value in values.REFERENCES if value != [0])),
        )
    ),
    *(
        end_point(
            f"POST projects/{{id}}/features/{{id}}/{action}/",
            lambda w, action=action: f"{w.features}{w.feature['id']}/{action}/",
            lambda w: {"group_ids": [w.group["id"]]},
            fields={"group_ids": bad},
            required=("group_ids",),
        )
        for action, bad in (
            ("add-group-owners", values.REFERENCES),
            ("remove-group-owners", tuple(value for value in values.REFERENCES if value != [0])),
        )
    ),
    end_point(
        "POST projects/{id}/features/{id}/mv-options/",
        lambda w: w.options,
        lambda w: {
            "type": "unicode",
            "string_value": "c",
            "default_percentage_allocation": 10,
            "feature": w.split["id"],
        },
        fields=OPTION,
    ),
    *both(
        "projects/{id}/features/{id}/mv-options/{id}/",
        lambda w: f"{w.options}{w.option['id']}/",
        lambda w: {"type": "unicode", "string_value": "z", "feature": w.split["id"]},
        fields=OPTION,
    ),
    end_point(
        "POST environments/{key}/featurestates/",
        lambda w: f"{w.of_a}featurestates/",
        lambda w: {"feature": w.bare_feature.pk, "enabled": True, "feature_state_value": "v"},
        fields={**SCALAR_STATE, "feature": values.REFERENCE},
        required=("feature",),
    ),
    end_point(
        "PUT environments/{key}/featurestates/{id}/",
        lambda w: f"{w.of_a}featurestates/{w.split_state['id']}/",
        lambda w: {"enabled": True, "feature_state_value": "v", **w.shares(40, 10)},
        fields={**SCALAR_STATE, **SHARES},
    ),
    end_point(
        "PATCH environments/{key}/featurestates/{id}/",
        lambda w: w.default,
        lambda w: {"enabled": True, "feature_state_value": "v"},
        fields={name: SCALAR_STATE[name] for name in ("enabled", "feature_state_value")},
    ),
    end_point(
        "POST features/featurestates/",
        lambda w: "features/featurestates/",
        lambda w: w.second_step(enabled=True, feature_state_value=FLAG_VALUE),
        fields={**OBJECT_STATE, "feature_segment": values.REFERENCE},
        required=("environment", "feature"),
    ),
    end_point(
        "PUT features/featurestates/{id}/",
        lambda w: f"features/featurestates/{w.split_override['id']}/",
        lambda w: {**w.override_shares(40, 10), "feature_state_value": FLAG_VALUE},
        fields={**OBJECT_STATE, **SHARES},
        required=("environment", "feature"),
    ),
    end_point(
        "PATCH features/featurestates/{id}/",
        lambda w: w.override_state,
        lambda w: {"enabled": False, "feature_state_value": FLAG_VALUE},
        fields={"enabled": values.BOOLEAN, **TYPED},
    ),
    end_point(
        "POST environments/{key}/features/{id}/create-segment-override/",
        lambda w: f"{w.of_a}features/{w.feature['id']}/create-segment-override/",
        lambda w: {
            "feature_segment": {"segment": w.segment["id"], "priority": 0},
            "enabled": True,
            "feature_state_value": FLAG_VALUE,
        },
        fields={
            "feature_segment": (*values.OBJECT, {}),
            "feature_segment.segment": values.REFERENCE,
            "feature_segment.priority": values.INTEGER,
            "enabled": values.BOOLEAN,
            **TYPED,
        },
        required=("feature_segment",),
    ),
    *both(
        "environments/{key}/features/{id}/",
        lambda w: f"{w.of_a}features/{w.split['id']}/",
        lambda w: {
            "segment_overrides": [
                {
                    "segment": {"id": w.segment["id"]},
                    "priority": 5,
                    "enabled": True,
                    "value": {"type": "string", "value": "v"},
                    "variants": [
                        {"id": option["id"], "weight": weight}
                        for option, weight in zip(w.split["multivariate_options"], (40, 10), strict=True)
                    ],
                }
            ]
        },
        root="api/__future__/",
        fields={
            **{f"environment_default.{name}": bad for name, bad in WHOLE_STATE.items()},
            "environment_default": values.OBJECT,
            "segment_overrides": (*values.LIST, [5], ["x"], [None], [{}]),
            "segment_overrides.0.segment": (*values.OBJECT, {}),
            "segment_overrides.0.segment.id": values.REFERENCE,
            "segment_overrides.0.priority": values.INTEGER,
            **{f"segment_overrides.0.{name}": bad for name, bad in WHOLE_STATE.items()},
            # Flagsmith names but the variants where one of them is not there.
            "segment_overrides.0.variants.0.id": tuple(each for each in values.REFERENCE if each != 0),
            "segment_overrides.0.variants.0.weight": values.PERCENTAGE,
        },
    ),
    end_point(
        "POST features/feature-segments/",
        lambda w: "features/feature-segments/",
        lambda w: {"feature": w.feature["id"], "segment": w.segment["id"], "environment": w.a.pk},
        fields={"feature": values.REFERENCE, "segment": values.REFERENCE, "environment": values.REFERENCE},
        required=("feature", "segment", "environment"),
    ),
    *both(
        "features/feature-segments/{id}/",
        lambda w: f"features/feature-segments/{w.feature_segment['id']}/",
        lambda w: {"feature": w.feature["id"], "segment": w.segment["id"], "environment": w.a.pk},
        fields={"feature": values.REFERENCE, "segment": values.REFERENCE, "environment": values.REFERENCE},
        required=("feature", "segment", "environment"),
    ),
    end_point(
        "POST features/feature-segments/update-priorities/",
        lambda w: "features/feature-segments/update-priorities/",
        lambda w: [{"id": w.override["feature_segment"]["id"], "priority": 3}],
        fields={"0": (5, "x", [], None), "0.id": values.INTEGER, "0.priority": values.INTEGER},
        required=("0.id", "0.priority"),
    ),
    end_point(
        "POST projects/{id}/segments/",
        lambda w: w.segments,
        lambda w: {"name": "new", "rules": rules()},
        fields={"name": NAME, "description": ([], {}, True, values.NULL_BYTE), "feature": values.REFERENCE, **RULES},
        required=("name", "rules"),
    ),
    *both(
        "projects/{id}/segments/{id}/",
        lambda w: f"{w.segments}{w.segment['id']}/",
        lambda w: {"name": "renamed", "rules": rules("max")},
        fields={"name": NAME, "description": ([], {}, True, values.NULL_BYTE), **RULES},
        required=("name", "rules"),
    ),
    end_point(
        "POST projects/{id}/segments/{id}/clone/",
        lambda w: f"{w.segments}{w.segment['id']}/clone/",
        lambda w: {"name": "clone"},
        fields={"name": NAME},
        required=("name",),
    ),
    end_point(
        "POST environments/{key}/identities/",
        lambda w: f"{w.of_a}identities/",
        lambda w: {"identifier": "u7"},
        fields={"identifier": NAME},
        required=("identifier",),
    ),
    *both(
        "environments/{key}/identities/{id}/",
        lambda w: w.identity_path,
        lambda w: {"identifier": "u7"},
        fields={"identifier": NAME},
        required=("identifier",),
    ),
    end_point(
        "POST environments/{key}/identities/{id}/traits/",
        lambda w: f"{w.identity_path}traits/",
        lambda w: {"trait_key": "k", "value_type": "unicode", "string_value": "v"},
        fields=TRAIT,
        required=("trait_key",),
    ),
    *both(
        "environments/{key}/identities/{id}/traits/{id}/",
        lambda w: f"{w.identity_path}traits/{w.trait['id']}/",
        lambda w: {"trait_key": "plan", "value_type": "unicode", "string_value": "v"},
        fields=TRAIT,
        required=("trait_key",),
    ),
    end_point(
        "POST environments/{key}/identities/{id}/featurestates/",
        lambda w: w.identity_states,
        lambda w: {"feature": w.feature["id"], "enabled": True, "feature_state_value": "mine"},
        fields={"feature": values.REFERENCE, "enabled": values.BOOLEAN, "feature_state_value": values.VALUE},
        required=("feature",),
    ),
    *both(
        "environments/{key}/identities/{id}/featurestates/{id}/",
        lambda w: f"{w.identity_states}{w.identity_override['id']}/",
        lambda w: {"feature": w.feature["id"], "enabled": False, "feature_state_value": "yours"},
        fields={"enabled": values.BOOLEAN, "feature_state_value": values.VALUE},
    ),
    end_point(
        "POST environments/{key}/identities/{id}/featurestates/clone-from-given-identity/",
        lambda w: f"{w.of_a}identities/{w.other_identity['id']}/featurestates/clone-from-given-identity/",
        lambda w: {"source_identity_id": w.identity["id"]},
        fields={"source_identity_id": values.INTEGER},
        required=("source_identity_id",),
    ),
)

WORKFLOW: tuple[EndPoint, ...] = (
    end_point(
        "POST environments/{key}/create-change-request/",
        lambda w: f"{w.of_a}create-change-request/",
        lambda w: w.change_request_body(),
        fields=CHANGE_REQUEST,
        required=("title", "feature_states"),
    ),
    *both(
        "features/workflows/change-requests/{id}/",
        lambda w: f"features/workflows/change-requests/{w.change_request['id']}/",
        lambda w: w.change_request_body(),
        fields=CHANGE_REQUEST,
        required=("title", "feature_states"),
    ),
    end_point(
        "POST projects/{id}/change-requests/",
        lambda w: f"{w.of_project}change-requests/",
        lambda w: w.segment_request_body(),
        fields=SEGMENT_CHANGE_REQUEST,
        required=("title", "segments"),
    ),
    *both(
        "projects/{id}/change-requests/{id}/",
        lambda w: w.of_segment_request(w.segment_request),
        lambda w: w.segment_request_body(),
        fields=SEGMENT_CHANGE_REQUEST,
        required=("title", "segments"),
    ),
)

SDK: tuple[EndPoint, ...] = (
    end_point(
        "POST identities/",
        lambda w: "identities/",
        lambda w: {**U1, "traits": [{"trait_key": "plan", "trait_value": "pro"}], "transient": False},
        fields={
            "identifier": values.text(2_000),
            "transient": values.BOOLEAN,
            "traits": (*values.LIST, [5], ["x"], [None], [{}]),
            "traits.0.trait_key": values.text(200),
            "traits.0.trait_value": values.TRAIT_VALUE,
            "traits.0.transient": values.BOOLEAN,
        },
        key="sdk",
    ),
    end_point(
        "POST traits/",
        lambda w: "traits/",
        lambda w: {"identity": U1, "trait_key": "plan", "trait_value": "pro"},
        fields={**SDK_TRAIT, "identity.identifier": values.text(2_000)},
        required=("identity", "trait_key"),
        key="sdk",
    ),
    *(
        end_point(
            f"{method} traits/bulk/",
            lambda w: "traits/bulk/",
            lambda w: [{"identity": U1, "trait_key": "plan", "trait_value": "pro"}],
            fields={"0": (5, "x", [], None), **{f"0.{name}": bad for name, bad in SDK_TRAIT.items()}},
            required=("0.identity", "0.trait_key"),
            key="sdk",
        )
        for method in ("PUT", "POST")
    ),
    end_point(
        "POST analytics/flags/",
        lambda w: "analytics/flags/",
        lambda w: {"banner": 3},
        key="sdk",
    ),
)
