"""Identities, environments, the project, the organisation and its people."""

from tests.triggers.case import case
from tests.triggers.world import U1, rules

IDENTITIES = (
    case("identity: created", "", lambda w: w.identity),
    case("identity: renamed", "", lambda w: w.call("PUT", w.identity_path, {"identifier": "u9"}), "identity"),
    case(
        "identity: renamed, has an override",
        "",
        lambda w: w.call("PUT", w.identity_path, {"identifier": "u9"}),
        "identity_override",
        silent="A",
    ),
    case("identity: deleted", "", lambda w: w.call("DELETE", w.identity_path), "identity"),
    case(
        "identity: deleted with its override",
        "",
        lambda w: w.call("DELETE", w.identity_path),
        "identity_override",
        silent="A",
    ),
    case("identity override: created", "", lambda w: w.identity_override, "feature identity", silent="A"),
    case(
        "identity override: created, object form",
        "",
        lambda w: w.call(
            "POST",
            "features/featurestates/",
            {"environment": w.a.pk, "feature": w.feature["id"], "identity": w.identity["id"], "enabled": True},
        ),
        "feature identity",
        silent="A",
    ),
    *(
        case(
            f"identity override: {says}",
            "",
            lambda w, body=body: w.call(
                "PUT",
                f"{w.identity_states}{w.identity_override['id']}/",
                {"feature": w.feature["id"], "enabled": True, "feature_state_value": "mine", **body},
            ),
            "identity_override",
            silent=silent,
        )
        for says, body, silent in (
            ("enabled", {"enabled": False}, "A"),
            ("value", {"feature_state_value": "yours"}, "A"),
            ("nothing changed", {}, ""),
        )
    ),
    case(
        "identity override: deleted",
        "",
        lambda w: w.call("DELETE", f"{w.identity_states}{w.identity_override['id']}/"),
        "identity_override",
        silent="A",
    ),
    case(
        "identity override: copied from another identity",
        "",
        lambda w: w.call(
            "POST",
            f"{w.of_a}identities/{w.other_identity['id']}/featurestates/clone-from-given-identity/",
            {"source_identity_id": w.identity["id"]},
        ),
        "identity_override other_identity",
        silent="A",
    ),
    case("trait: created by an admin", "", lambda w: w.trait, "identity"),
    case("trait: created, identity has an override", "", lambda w: w.trait, "identity_override"),
    case(
        "trait: changed by an admin",
        "",
        lambda w: w.call("PATCH", f"{w.identity_path}traits/{w.trait['id']}/", {"string_value": "max"}),
        "trait",
    ),
    case(
        "trait: deleted by an admin",
        "",
        lambda w: w.call("DELETE", f"{w.identity_path}traits/{w.trait['id']}/"),
        "trait",
    ),
    case(
        "trait: deleted from all identities",
        "",
        lambda w: w.call("DELETE", f"{w.identity_path}traits/{w.trait['id']}/?deleteAllMatchingTraits=true"),
        "trait",
    ),
    case("trait: key deleted", "", lambda w: w.call("POST", f"{w.of_a}delete-traits/", {"key": "plan"}), "trait"),
    case("SDK: flags read", "", lambda w: w.sdk("GET", "flags/"), "feature"),
    case("SDK: identity read and made", "", lambda w: w.sdk("GET", "identities/?identifier=u3"), "feature"),
    case(
        "SDK: identity with traits",
        "",
        lambda w: w.sdk("POST", "identities/", {**U1, "traits": [{"trait_key": "plan", "trait_value": "pro"}]}),
        "feature",
    ),
    case(
        "SDK: trait deleted",
        "",
        lambda w: w.sdk("POST", "identities/", {**U1, "traits": [{"trait_key": "plan", "trait_value": None}]}),
        "trait",
    ),
    case(
        "SDK: transient identity", "", lambda w: w.sdk("POST", "identities/", {**U1, "transient": True, "traits": []})
    ),
    case(
        "SDK: trait",
        "",
        lambda w: w.sdk("POST", "traits/", {"identity": U1, "trait_key": "plan", "trait_value": "pro"}),
    ),
    case(
        "SDK: traits in bulk",
        "",
        lambda w: w.sdk("PUT", "traits/bulk/", [{"identity": U1, "trait_key": "plan", "trait_value": "pro"}]),
    ),
    case("SDK: analytics", "", lambda w: w.sdk("POST", "analytics/flags/", {"banner": 3}), "feature"),
)

ENVIRONMENTS = (
    case(
        "environment: created",
        "",
        lambda w: w.call("POST", "environments/", {"name": "New", "project": w.project.pk}),
        "feature",
    ),
    case(
        "environment: cloned",
        "",
        lambda w: w.call("POST", f"{w.of_a}clone/", {"name": "Clone"}),
        "override identity_override",
    ),
    case("environment: deleted", "", lambda w: w.call("DELETE", w.of_a), "override identity_override", gone="A"),
    *(
        case(f"environment: {says}", events, lambda w, body=body: w.call("PATCH", w.of_a, body), "feature")
        for says, events, body in (
            ("name", "A", {"name": "Other"}),
            ("hide disabled flags", "A", {"hide_disabled_flags": True}),
            ("client traits", "A", {"allow_client_traits": False}),
            ("hide sensitive data", "A", {"hide_sensitive_data": True}),
            ("hashing", "A", {"use_identity_composite_key_for_hashing": False}),
            ("identity overrides in local evaluation", "A", {"use_identity_overrides_in_local_eval": False}),
            ("two settings in one call", "A", {"name": "Other", "allow_client_traits": False}),
            ("description", "", {"description": "d"}),
            ("banner", "", {"banner_text": "t", "banner_colour": "#ff0000"}),
            ("approvals", "", {"minimum_change_request_approvals": 1}),
            ("nothing changed", "", {"allow_client_traits": True}),
        )
    ),
    case(
        "environment: PUT, nothing changed",
        "",
        lambda w: w.call("PUT", w.of_a, {"name": w.a.name, "project": w.project.pk}),
    ),
    case("server key: created", "", lambda w: w.server_key),
    case(
        "server key: renamed",
        "",
        lambda w: w.call("PUT", f"{w.of_a}api-keys/{w.server_key['id']}/", {"name": "other"}),
        "server_key",
    ),
    case(
        "server key: deleted", "", lambda w: w.call("DELETE", f"{w.of_a}api-keys/{w.server_key['id']}/"), "server_key"
    ),
    case("webhook: created", "", lambda w: w.webhook),
    case(
        "webhook: changed",
        "",
        lambda w: w.call("PATCH", f"{w.of_a}webhooks/{w.webhook['id']}/", {"enabled": False}),
        "webhook",
    ),
    case("webhook: deleted", "", lambda w: w.call("DELETE", f"{w.of_a}webhooks/{w.webhook['id']}/"), "webhook"),
)

PROJECT = (
    *(
        case(f"project: {says}", events, lambda w, body=body: w.call("PATCH", w.of_project, body), "feature")
        for says, events, body in (
            ("name", "AB", {"name": "Other"}),
            ("hide disabled flags", "AB", {"hide_disabled_flags": True}),
            ("two settings in one call", "AB", {"name": "Other", "hide_disabled_flags": True}),
            ("defaults for new flags", "", {"prevent_flag_defaults": True}),
            ("days until a flag is stale", "", {"stale_flags_limit_days": 7}),
            ("form of feature names", "", {"feature_name_regex": "[a-z]+"}),
            ("nothing changed", "", {"name": "Web", "hide_disabled_flags": False}),
        )
    ),
    case(
        "project: real time off",
        "",
        lambda w: w.call("PATCH", w.of_project, {"enable_realtime_updates": False}),
        "feature",
        unheard="AB",
    ),
    case(
        "project: real time on",
        "AB",
        lambda w: w.call("PATCH", w.of_project, {"enable_realtime_updates": True}),
        "feature",
        gate=False,
    ),
    case(
        "project: another one",
        "",
        lambda w: w.call("POST", "projects/", {"name": "Second", "organisation": w.organisation.pk}),
    ),
)

ORGANISATION = (
    case(
        "organisation: name",
        "",
        lambda w: w.call("PATCH", f"organisations/{w.organisation.pk}/", {"name": "Other"}),
        silent="AB",
    ),
    case(
        "organisation: who may create projects",
        "",
        lambda w: w.call("PATCH", f"organisations/{w.organisation.pk}/", {"restrict_project_create_to_admin": True}),
    ),
    case(
        "organisation: a member's role",
        "",
        lambda w: w.call(
            "POST", f"organisations/{w.organisation.pk}/users/{w.member.pk}/update-role/", {"role": "ADMIN"}
        ),
        "member",
    ),
    case(
        "organisation: member removed",
        "",
        lambda w: w.call("POST", f"organisations/{w.organisation.pk}/remove-users/", [{"id": w.member.pk}]),
        "member",
    ),
    case("organisation: master API key", "", lambda w: w.master_key),
    *(
        case(
            f"permission: {says}",
            "",
            lambda w, path=path, key=key: w.call(
                "POST", f"{path(w)}user-permissions/", {"user": w.member.pk, "permissions": [key], "admin": False}
            ),
            "member",
        )
        for says, path, key in (
            ("in the project", lambda w: w.of_project, "VIEW_PROJECT"),
            ("in the environment", lambda w: w.of_a, "VIEW_ENVIRONMENT"),
        )
    ),
    *(
        case(
            f"group: permission {says}",
            "",
            lambda w, path=path, key=key: w.call(
                "POST", f"{path(w)}user-group-permissions/", {"group": w.group["id"], "permissions": [key]}
            ),
            "group",
        )
        for says, path, key in (
            ("in the project", lambda w: w.of_project, "VIEW_PROJECT"),
            ("in the environment", lambda w: w.of_a, "VIEW_ENVIRONMENT"),
        )
    ),
    case("group: made and filled", "", lambda w: w.group, "member"),
    case(
        "group: owns a feature",
        "",
        lambda w: w.call("POST", f"{w.features}{w.feature['id']}/add-group-owners/", {"group_ids": [w.group["id"]]}),
        "feature group",
    ),
    case(
        "group: deleted with all that it has",
        "",
        lambda w: w.call("DELETE", w.of_group(w.group)),
        "project_group_permission environment_group_permission",
    ),
    case("invitation: by mail", "", lambda w: w.invite),
    case("user: own name", "", lambda w: w.call("PATCH", "auth/users/me/", {"first_name": "Eve"})),
)

REFUSED = (
    case(
        "refused: half of a default's change",
        "",
        lambda w: w.refused("PUT", w.default, {"feature_state_value": "blue", "enabled": "maybe"}),
        "state",
    ),
    case(
        "refused: a value too long",
        "",
        lambda w: w.refused("PUT", w.default, {"enabled": True, "feature_state_value": "x" * 20_001}),
        "state",
    ),
    case("refused: a feature's second", "", lambda w: w.refused("POST", w.features, {"name": "BANNER"}), "feature"),
    case(
        "refused: options over 100 %",
        "",
        lambda w: w.refused(
            "POST",
            w.options,
            {"type": "unicode", "string_value": "d", "default_percentage_allocation": 90, "feature": w.split["id"]},
        ),
        "split",
    ),
    case(
        "refused: shares over 100 %",
        "",
        lambda w: w.refused(
            "PUT", f"{w.of_a}featurestates/{w.split_state['id']}/", {**w.shares(90, 20), "enabled": True}
        ),
        "split_state",
    ),
    case(
        "refused: a segment's name with bad rules",
        "",
        lambda w: w.refused(
            "PUT", f"{w.segments}{w.segment['id']}/", {"name": "others", "rules": [{**rules()[0], "type": "SOME"}]}
        ),
        "segment",
    ),
    case(
        "refused: order with an unknown override",
        "",
        lambda w: w.refused(
            "POST",
            "features/feature-segments/update-priorities/",
            [{"id": w.override["feature_segment"]["id"], "priority": 4}, {"id": 999_999, "priority": 0}],
        ),
        "override",
    ),
    case(
        "refused: half of a project's change",
        "",
        lambda w: w.refused("PATCH", w.of_project, {"hide_disabled_flags": True, "enable_realtime_updates": "maybe"}),
    ),
)
