"""The catalogue of admin operations: what an admin of Flagsmith can change, and the effect on SDKs of A and B.

It holds every row of Flagsmith's own table of triggers but those of what this product does not have: versioning v2,
metadata of features, system segments and revisions of segments, edge identities, imports from LaunchDarkly, feature
health, release pipelines, experiments and metrics. docs/decisions/0001-what-makes-an-event.md has the reasons where an
effect is not Flagsmith's.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tests.operations.objects import (
    CHANGE_REQUEST,
    CHANGE_REQUESTS,
    CREATE_OVERRIDE,
    DEFAULT,
    ENVIRONMENT,
    FAR,
    FEATURE,
    FEATURE_SEGMENTS,
    FEATURES,
    FLAG_AS_A_WHOLE,
    IDENTITY,
    IDENTITY_OVERRIDE,
    IDENTITY_STATES,
    NEW_OPTION,
    NEW_OVERRIDE,
    OBJECT_STATES,
    OBJECTS,
    OPTION,
    OPTIONS,
    ORGANISATION,
    OVERRIDE,
    PERMISSION,
    PROJECT,
    RED,
    SECOND_STEP,
    SEGMENT,
    SEGMENT_REQUEST,
    SPLIT_DEFAULT,
    change_request,
    rules,
)
from tests.operations.operation import Operation


def calls(call: str, *operations: tuple[Any, ...], **shared: Any) -> Iterable[Operation]:
    """Operations by one call: a name and its events each, perhaps with a body, and with further fields."""
    for name, events, *more in operations:
        body, fields = (more + [None, {}][len(more) :])[:2]
        yield Operation(name, events, call, body, **shared | fields)


def created(name: str, events: str, kind: str, **fields: Any) -> Operation:
    """The operation that creates an object of ``OBJECTS``."""
    return replace(OBJECTS[kind], name=name, events=events, **fields)


ON = {"enabled": "{toggled}"}
VALUE = {"feature_state_value": "{value}"}
OBJECT_VALUE = {"feature_state_value": "{object_value}"}
SHARES = "multivariate_feature_state_values"

DEFAULTS = (
    *calls(
        f"PUT {DEFAULT}",
        ("default: on", "A", ON),
        ("default: value", "A", VALUE),
        ("default: on and value in one call", "A", ON | VALUE),
        ("default: by a master API key", "A", {"enabled": True}, {"key": "master", "given": "master_key"}),
        ("default: nothing changed", "", lambda objects: objects.served_state),
    ),
    *calls(
        f"PATCH {DEFAULT}",
        ("default: on, by PATCH", "A", ON),
        ("default: value, by PATCH", "A", {"feature_state_value": 7}),
        ("default: nothing changed, by PATCH", "", {"enabled": "{state.enabled}"}),
    ),
    *calls(
        f"PUT {OBJECT_STATES}{{state}}/",
        (
            "default: on and value, object form",
            "A",
            {"environment": "{a.pk}", "feature": "{feature}", **ON, **OBJECT_VALUE},
        ),
    ),
    *calls(
        f"PATCH {FLAG_AS_A_WHOLE}",
        (
            "default: on and value, in the flag as a whole",
            "A",
            {"environment_default": {"enabled": True, "value": {"type": "string", "value": "blue"}}},
        ),
    ),
    *calls(
        f"PUT {SPLIT_DEFAULT}",
        ("default: percentages", "A", {SHARES: "{shares}"}),
        ("default: on, value and percentages in one call", "A", {**ON, **VALUE, SHARES: "{shares}"}),
        ("default: percentages, nothing changed", "", {SHARES: "{same_shares}"}),
    ),
)

FEATURE_OPERATIONS = (
    *calls(f"POST {FEATURES}", ("feature: created", "AB", {"name": "{new_name}"})),
    created("feature: created with two options", "AB", "split"),
    *calls(
        f"DELETE {FEATURE}",
        ("feature: deleted", "AB"),
        ("feature: deleted with overrides", "AB", None, {"given": "override identity_override"}),
    ),
    *calls(f"DELETE {FEATURES}{{split}}/", ("feature: deleted with options", "AB")),
    *calls(
        f"PATCH {FEATURE}",
        ("feature: description", "AB", {"description": "new"}),
        ("feature: for servers only", "AB", {"is_server_key_only": "{on}"}),
        ("feature: type", "AB", {"type": "MULTIVARIATE"}),
        ("feature: archived", "", {"is_archived": "{on}"}),
        ("feature: tags", "", {"tags": ["{tag}"]}),
        ("feature: read-only fields", "", {"name": "other", "initial_value": "x", "default_enabled": True}),
        ("feature: nothing changed", "", {"is_server_key_only": False}),
    ),
    *calls(f"POST {FEATURE}remove-owners/", ("feature: owner removed", "", {"user_ids": ["{user}"]})),
    *calls(f"POST {FEATURE}add-owners/", ("feature: owner added", "", {"user_ids": ["{user}"]})),
    *calls(f"POST {FEATURE}add-group-owners/", ("feature: group of owners added", "", {"group_ids": ["{group}"]})),
    created("tag: created", "", "tag"),
    *calls(f"PATCH {PROJECT}tags/{{tag}}/", ("tag: edited", "", {"label": "m"})),
    *calls(f"DELETE {PROJECT}tags/{{tag}}/", ("tag: deleted", "")),
    *calls(f"POST {OPTIONS}", ("option: created", "AB", NEW_OPTION)),
    *calls(
        f"POST {FEATURE}mv-options/",
        (
            "option: the first of its feature",
            "AB",
            {"type": "int", "integer_value": 3, "default_percentage_allocation": 0, "feature": "{feature}"},
        ),
    ),
    *calls(f"DELETE {OPTION}", ("option: deleted", "AB")),
    *calls(
        f"PATCH {OPTION}",
        ("option: value", "AB", "{option_value}"),
        ("option: key", "AB", {"key": "{new_name}"}),
        ("option: default percentage", "AB", {"default_percentage_allocation": "{percentage}"}, {"same_content": True}),
        ("option: nothing changed", "", {"type": "unicode", "string_value": "a"}),
    ),
)

IMPORTED = {
    "name": "imported",
    "default_enabled": False,
    "is_server_key_only": False,
    "initial_value": "v",
    "value": "{value}",
    "type": "unicode",
    "enabled": True,
    "multivariate": [
        {"percentage_allocation": 20, "default_percentage_allocation": 30, "value": "a", "type": "unicode"},
    ],
}


def imported(strategy: str, **fields: Any) -> dict[str, Any]:
    return {"strategy": strategy, "file": [{**IMPORTED, **fields}]}


EXPORTS_AND_IMPORTS = (
    created("export: created", "", "export"),
    *calls(
        "POST features/feature-import/{a.pk}",
        ("import: a new feature", "AB", imported("SKIP", name="{new_name}")),
        (
            "import: a feature that exists, skipped",
            "",
            imported("SKIP", name="{feature.name}"),
            {"given": "feature"},
        ),
        (
            "import: a feature that exists, overwritten with its overrides",
            "A",
            imported("OVERWRITE_DESTRUCTIVE", name="{feature.name}", multivariate=[]),
            {"given": "override identity_override"},
        ),
        (
            "import: a feature with options, overwritten",
            "A",
            imported("OVERWRITE_DESTRUCTIVE", name="{split.name}"),
            {"given": "split"},
        ),
    ),
)

OVERRIDES = (
    created("override: in one step", "A", "override"),
    *calls(
        CREATE_OVERRIDE,
        ("override: in one step, as the default is", "", {**NEW_OVERRIDE, "enabled": "{off}"}, {"silent": "A"}),
    ),
    created("override: first step alone", "", "feature_segment"),
    *calls(
        f"POST {OBJECT_STATES}",
        ("override: second step, another enabled", "A", {**SECOND_STEP, "feature_state_value": RED}),
        ("override: second step, another value", "A", {**SECOND_STEP, "enabled": False, **OBJECT_VALUE}),
        ("override: second step, both", "A", {**SECOND_STEP, **OBJECT_VALUE}),
        (
            "override: second step, as the default is",
            "",
            {**SECOND_STEP, "enabled": False, "feature_state_value": RED},
            {"silent": "A"},
        ),
    ),
    *calls(
        f"PUT {OBJECT_STATES}{{override}}/",
        ("override: enabled", "A", {**OVERRIDE, "enabled": "{off}"}),
        ("override: value", "A", {**OVERRIDE, **OBJECT_VALUE}),
        ("override: enabled and value in one call", "A", {**OVERRIDE, "enabled": "{off}", **OBJECT_VALUE}),
        ("override: nothing changed", "", OVERRIDE),
    ),
    *calls(
        f"PUT {OBJECT_STATES}{{split_override}}/",
        (
            "override: percentages",
            "A",
            {"environment": "{a.pk}", "feature": "{split}", "enabled": True, SHARES: "{override_shares}"},
        ),
    ),
    *calls(f"DELETE {FEATURE_SEGMENTS}{{override.feature_segment}}/", ("override: removed", "A")),
    *calls(f"DELETE {FEATURE_SEGMENTS}{{feature_segment}}/", ("override: first step alone removed", "")),
    *calls(
        f"POST {FEATURE_SEGMENTS}update-priorities/",
        *(
            (
                f"override: order {name}",
                events,
                [
                    {"id": "{override.feature_segment}", "priority": first},
                    {"id": "{other_override.feature_segment}", "priority": second},
                ],
            )
            for name, events, first, second in (("changed", "A", 1, 0), ("unchanged", "", 0, 1))
        ),
    ),
    *calls(
        f"PATCH {FLAG_AS_A_WHOLE}",
        *(
            (
                f"override: {name}, in the flag as a whole",
                events,
                {"segment_overrides": [{"segment": {"id": "{segment}"}, **change}]},
            )
            for name, events, change in (
                ("priority alone", "A", {"priority": 5}),
                ("nothing changed", "", {"enabled": True}),
            )
        ),
        given="override other_override",
    ),
)

SEGMENTS = (
    created("segment: created", "AB", "segment"),
    *calls(f"POST {SEGMENT}clone/", ("segment: cloned", "AB", {"name": "{new_name}"})),
    *calls(
        f"PUT {SEGMENT}",
        ("segment: rules", "AB", {"name": "professionals", "rules": "{new_rules}"}),
        ("segment: name and rules in one call", "AB", {"name": "{new_name}", "rules": "{new_rules}"}),
        ("segment: nothing changed, with ids", "", lambda objects: objects.served_segment),
        ("segment: nothing changed, without ids", "", {"name": "professionals", "rules": rules()}),
    ),
    *calls(
        f"PATCH {SEGMENT}",
        ("segment: name", "AB", {"name": "{new_name}"}),
        ("segment: description", "", {"description": "{new_name}"}),
    ),
    *calls(
        f"DELETE {SEGMENT}",
        ("segment: deleted", "AB"),
        ("segment: deleted with an override", "AB", None, {"given": "override"}),
    ),
)

ADA = {"identifier": "ada"}
PRO = {"trait_key": "plan", "trait_value": "pro"}
WITH_OVERRIDE = {"given": "identity_override"}

IDENTITIES = (
    created("identity: created", "", "identity"),
    *calls(
        f"PUT {IDENTITY}",
        ("identity: renamed", "", {"identifier": "{new_name}"}),
        ("identity: renamed, has an override", "", {"identifier": "{new_name}"}, {"silent": "A", **WITH_OVERRIDE}),
    ),
    *calls(
        f"DELETE {IDENTITY}",
        ("identity: deleted", ""),
        ("identity: deleted with its override", "", None, {"silent": "A", **WITH_OVERRIDE}),
    ),
    created("identity override: created", "", "identity_override", silent="A"),
    *calls(
        f"POST {OBJECT_STATES}",
        (
            "identity override: created, object form",
            "",
            {"environment": "{a.pk}", "feature": "{feature}", "identity": "{identity}", "enabled": True},
            {"silent": "A"},
        ),
    ),
    *calls(
        f"PUT {IDENTITY_STATES}{{identity_override}}/",
        ("identity override: enabled", "", {**IDENTITY_OVERRIDE, "enabled": "{off}"}, {"silent": "A"}),
        ("identity override: value", "", {**IDENTITY_OVERRIDE, **VALUE}, {"silent": "A"}),
        ("identity override: nothing changed", "", IDENTITY_OVERRIDE),
    ),
    *calls(
        f"DELETE {IDENTITY_STATES}{{identity_override}}/", ("identity override: deleted", "", None, {"silent": "A"})
    ),
    *calls(
        "POST environments/{a}/identities/{other_identity}/featurestates/clone-from-given-identity/",
        (
            "identity override: copied from another identity",
            "",
            {"source_identity_id": "{identity}"},
            {"silent": "A", **WITH_OVERRIDE},
        ),
    ),
    created("trait: created by an admin", "", "trait"),
    created("trait: created, identity has an override", "", "trait", **WITH_OVERRIDE),
    *calls(f"PATCH {IDENTITY}traits/{{trait}}/", ("trait: changed by an admin", "", {"string_value": "max"})),
    *calls(f"DELETE {IDENTITY}traits/{{trait}}/", ("trait: deleted by an admin", "")),
    *calls(
        f"DELETE {IDENTITY}traits/{{trait}}/?deleteAllMatchingTraits=true",
        ("trait: deleted from all identities", ""),
    ),
    *calls(f"POST {ENVIRONMENT}delete-traits/", ("trait: key deleted", "", {"key": "plan"}, {"given": "trait"})),
    *calls("GET flags/", ("SDK: flags read", ""), key="sdk", given="feature"),
    *calls("GET identities/?identifier=carol", ("SDK: identity read and created", ""), key="sdk", given="feature"),
    *calls(
        "POST identities/",
        ("SDK: identity with traits", "", {**ADA, "traits": [PRO]}),
        ("SDK: trait deleted", "", {**ADA, "traits": [{**PRO, "trait_value": None}]}, {"given": "trait"}),
        ("SDK: transient identity", "", {**ADA, "transient": True, "traits": []}),
        key="sdk",
        given="feature",
    ),
    *calls("POST traits/", ("SDK: trait", "", {"identity": ADA, **PRO}), key="sdk"),
    *calls("PUT traits/bulk/", ("SDK: traits in bulk", "", [{"identity": ADA, **PRO}]), key="sdk"),
    *calls("POST analytics/flags/", ("SDK: analytics", "", {"banner": 3}), key="sdk", given="feature"),
)

BOTH_OVERRIDES = {"given": "override identity_override"}

ENVIRONMENTS = (
    *calls(
        "POST environments/", ("environment: created", "", {"name": "New", "project": "{project}"}), given="feature"
    ),
    *calls(f"POST {ENVIRONMENT}clone/", ("environment: cloned", "", {"name": "{new_name}"}, BOTH_OVERRIDES)),
    *calls(f"DELETE {ENVIRONMENT}", ("environment: deleted", "", None, {"deleted": "A", **BOTH_OVERRIDES})),
    *calls(
        f"PATCH {ENVIRONMENT}",
        ("environment: name", "A", {"name": "{new_name}"}),
        ("environment: hide disabled flags", "A", {"hide_disabled_flags": "{on}"}),
        ("environment: client traits", "A", {"allow_client_traits": "{off}"}),
        ("environment: hide sensitive data", "A", {"hide_sensitive_data": "{sensitive_data_hidden}"}),
        ("environment: hashing", "A", {"use_identity_composite_key_for_hashing": "{off}"}),
        ("environment: local evaluation", "A", {"use_identity_overrides_in_local_eval": "{off}"}),
        ("environment: two settings in one call", "A", {"name": "{new_name}", "allow_client_traits": "{off}"}),
        ("environment: description", "", {"description": "d"}),
        ("environment: banner", "", {"banner_text": "t", "banner_colour": "#ff0000"}),
        ("environment: approvals", "", {"minimum_change_request_approvals": 1}),
        ("environment: nothing changed", "", {"allow_client_traits": True}),
        given="feature",
    ),
    *calls(
        f"PUT {ENVIRONMENT}",
        ("environment: PUT, nothing changed", "", {"name": "{a.name}", "project": "{project}"}),
    ),
)

PROJECTS = (
    *calls(
        f"PATCH {PROJECT}",
        ("project: name", "AB", {"name": "{new_name}"}),
        ("project: hide disabled flags", "AB", {"hide_disabled_flags": "{disabled_flags_hidden}"}),
        ("project: two settings in one call", "AB", {"name": "{new_name}", "hide_disabled_flags": "{on}"}),
        ("project: defaults for new flags", "", {"prevent_flag_defaults": "{on}"}),
        ("project: days until a flag is stale", "", {"stale_flags_limit_days": 7}),
        ("project: form of feature names", "", {"feature_name_regex": "[a-z]+"}),
        ("project: nothing changed", "", {"name": "Web", "hide_disabled_flags": False}),
        ("project: real time off", "", {"enable_realtime_updates": "{off}"}, {"suppressed": "AB"}),
        ("project: real time on", "AB", {"enable_realtime_updates": "{on}"}, {"streaming_enabled": False}),
        given="feature",
    ),
    *calls("POST projects/", ("project: another one", "", {"name": "Second", "organisation": "{organisation}"})),
)

VIEW_PROJECT = {"permissions": ["VIEW_PROJECT"]}
VIEW_ENVIRONMENT = {"permissions": ["VIEW_ENVIRONMENT"]}
GROUP = {"group": "{group}"}

ORGANISATIONS = (
    *calls(
        f"PATCH {ORGANISATION}",
        ("organisation: name", "", {"name": "{new_name}"}, {"silent": "AB"}),
        ("organisation: who may create projects", "", {"restrict_project_create_to_admin": True}),
    ),
    *calls(
        f"POST {ORGANISATION}users/{{member}}/update-role/", ("organisation: a member's role", "", {"role": "ADMIN"})
    ),
    *calls(f"POST {ORGANISATION}remove-users/", ("organisation: member removed", "", [{"id": "{member}"}])),
    created("organisation: master API key", "", "master_key"),
    created("server key: created", "", "server_key"),
    *calls(f"PUT {ENVIRONMENT}api-keys/{{server_key}}/", ("server key: renamed", "", {"name": "other"})),
    *calls(f"DELETE {ENVIRONMENT}api-keys/{{server_key}}/", ("server key: deleted", "")),
    *calls(f"POST {PROJECT}user-permissions/", ("permission: in the project", "", PERMISSION | VIEW_PROJECT)),
    *calls(
        f"POST {ENVIRONMENT}user-permissions/", ("permission: in the environment", "", PERMISSION | VIEW_ENVIRONMENT)
    ),
    *calls(f"POST {PROJECT}user-group-permissions/", ("group: permission in the project", "", GROUP | VIEW_PROJECT)),
    *calls(
        f"POST {ENVIRONMENT}user-group-permissions/",
        ("group: permission in the environment", "", GROUP | VIEW_ENVIRONMENT),
    ),
    created("group: created", "", "empty_group"),
    created("group: users added", "", "group"),
    *calls(
        f"DELETE {ORGANISATION}groups/{{group}}/",
        ("group: deleted with all that it has", ""),
        given="project_group_permission environment_group_permission",
    ),
    created("invitation: by mail", "", "invite"),
    *calls("PATCH auth/users/me/", ("user: own name", "", {"first_name": "Eve"})),
    created("webhook: created", "", "webhook"),
    *calls(f"PATCH {ENVIRONMENT}webhooks/{{webhook}}/", ("webhook: changed", "", {"enabled": False})),
    *calls(f"DELETE {ENVIRONMENT}webhooks/{{webhook}}/", ("webhook: deleted", "")),
)

CHANGE_REQUEST_OPERATIONS = (
    created("change request: created", "", "change_request"),
    *calls(f"PUT {CHANGE_REQUEST}", ("change request: edited", "", change_request(FAR))),
    *calls(f"POST {CHANGE_REQUEST}approve/", ("change request: approved", ""), key="approver"),
    *calls(f"DELETE {CHANGE_REQUEST}", ("change request: deleted", "")),
    created("change request: committed, live now", "A", "live_request"),
    *calls(
        f"POST {CHANGE_REQUESTS}{{large_request}}/commit/",
        ("change request: default, override and percentages live now", "A"),
    ),
    *calls(
        f"POST {CHANGE_REQUESTS}{{override_request}}/commit/",
        ("change request: override removed, others reordered, live now", "A"),
    ),
    created("change request: committed for later", "", "scheduled_request"),
    *calls(f"DELETE {CHANGE_REQUESTS}{{scheduled_request}}/", ("change request: deleted before it is due", "")),
    Operation(
        "change request: due",
        "A",
        act=lambda objects: objects.make_due(objects.scheduled_request),
        given="scheduled_request",
    ),
    created("segment change request: created", "", "segment_request"),
    *calls(f"PATCH {SEGMENT_REQUEST}", ("segment change request: edited", "", {"segments": []})),
    *calls(f"POST {SEGMENT_REQUEST}approve/", ("segment change request: approved", ""), key="approver"),
    *calls(f"POST {SEGMENT_REQUEST}commit/", ("segment change request: committed", "AB")),
)

REFUSED = tuple(
    Operation(f"refused: {name}", "", call, body, given, refused=True)
    for name, call, body, given in (
        ("half of a default's change", f"PUT {DEFAULT}", {**VALUE, "enabled": "maybe"}, ""),
        ("a value too long", f"PUT {DEFAULT}", {"enabled": True, "feature_state_value": "x" * 20_001}, ""),
        ("a state that does not exist", f"PATCH {ENVIRONMENT}featurestates/2000000000/", {"enabled": True}, ""),
        ("a name that another feature has", f"POST {FEATURES}", {"name": "BANNER"}, "feature"),
        ("options over 100 %", f"POST {OPTIONS}", {**NEW_OPTION, "default_percentage_allocation": 90}, ""),
        ("shares over 100 %", f"PUT {SPLIT_DEFAULT}", {"enabled": True, SHARES: "{shares_over_100}"}, ""),
        (
            "a segment's name with bad rules",
            f"PUT {SEGMENT}",
            {"name": "others", "rules": [{**rules()[0], "type": "SOME"}]},
            "",
        ),
        (
            "order with an unknown override",
            f"POST {FEATURE_SEGMENTS}update-priorities/",
            [{"id": "{override.feature_segment}", "priority": 4}, {"id": 999_999, "priority": 0}],
            "",
        ),
        (
            "half of a project's change",
            f"PATCH {PROJECT}",
            {"hide_disabled_flags": True, "enable_realtime_updates": "maybe"},
            "",
        ),
        ("a change request's second commit", f"POST {CHANGE_REQUESTS}{{live_request}}/commit/", None, ""),
        ("deletion of a live change request", f"DELETE {CHANGE_REQUESTS}{{live_request}}/", None, ""),
    )
)

OPERATIONS = (
    *DEFAULTS,
    *FEATURE_OPERATIONS,
    *EXPORTS_AND_IMPORTS,
    *OVERRIDES,
    *SEGMENTS,
    *IDENTITIES,
    *ENVIRONMENTS,
    *PROJECTS,
    *ORGANISATIONS,
    *CHANGE_REQUEST_OPERATIONS,
    *REFUSED,
)
BY_NAME = {operation.name: operation for operation in OPERATIONS}
