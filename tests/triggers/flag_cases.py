"""Environments' defaults, features, their options and tags."""

from tests.triggers.case import TEXT, case

DEFAULTS = (
    case("default: on", "A", lambda w: w.call("PUT", w.default, {"enabled": True}), "state"),
    case("default: on, by PATCH", "A", lambda w: w.call("PATCH", w.default, {"enabled": True}), "state"),
    case("default: value", "A", lambda w: w.call("PUT", w.default, {"feature_state_value": "blue"}), "state"),
    case("default: value, by PATCH", "A", lambda w: w.call("PATCH", w.default, {"feature_state_value": 7}), "state"),
    case(
        "default: on and value in one call",
        "A",
        lambda w: w.call("PUT", w.default, {"enabled": True, "feature_state_value": "blue"}),
        "state",
    ),
    case(
        "default: on and value, object form",
        "A",
        lambda w: w.call(
            "PUT",
            f"features/featurestates/{w.state['id']}/",
            {"environment": w.a.pk, "feature": w.feature["id"], "enabled": True, "feature_state_value": TEXT},
        ),
        "state",
    ),
    case(
        "default: by a master API key",
        "A",
        lambda w: w.call("PUT", w.default, {"enabled": True}, w.master),
        "state master",
    ),
    case(
        "default: on and value, in the flag as a whole",
        "A",
        lambda w: w.call(
            "PATCH", w.whole, {"environment_default": {"enabled": True, "value": {"type": "string", "value": "blue"}}}
        ),
        "feature",
    ),
    case(
        "default: nothing changed",
        "",
        lambda w: w.call("PUT", w.default, {"enabled": False, "feature_state_value": "red"}),
        "state",
    ),
    case("default: nothing changed, by PATCH", "", lambda w: w.call("PATCH", w.default, {"enabled": False}), "state"),
    case(
        "default: percentages",
        "A",
        lambda w: w.call("PUT", f"{w.of_a}featurestates/{w.split_state['id']}/", w.shares(40, 10)),
        "split_state",
    ),
    case(
        "default: on, value and percentages in one call",
        "A",
        lambda w: w.call(
            "PUT",
            f"{w.of_a}featurestates/{w.split_state['id']}/",
            {**w.shares(40, 10), "enabled": True, "feature_state_value": "d"},
        ),
        "split_state",
    ),
    case(
        "default: percentages, nothing changed",
        "",
        lambda w: w.call("PUT", f"{w.of_a}featurestates/{w.split_state['id']}/", w.shares(30, 20)),
        "split_state",
    ),
)

FEATURES = (
    case("feature: created", "AB", lambda w: w.call("POST", w.features, {"name": "new"})),
    case("feature: created with two options", "AB", lambda w: w.split),
    case("feature: deleted", "AB", lambda w: w.call("DELETE", f"{w.features}{w.feature['id']}/"), "feature"),
    case("feature: deleted with options", "AB", lambda w: w.call("DELETE", f"{w.features}{w.split['id']}/"), "split"),
    case(
        "feature: deleted with overrides",
        "AB",
        lambda w: w.call("DELETE", f"{w.features}{w.feature['id']}/"),
        "override identity_override",
    ),
    *(
        case(
            f"feature: {says}",
            events,
            lambda w, body=body: w.call("PATCH", f"{w.features}{w.feature['id']}/", body),
            "feature",
        )
        for says, events, body in (
            ("description", "AB", {"description": "new"}),
            ("for servers only", "AB", {"is_server_key_only": True}),
            ("type", "AB", {"type": "MULTIVARIATE"}),
            ("archived", "", {"is_archived": True}),
            (
                "name and defaults, which are read-only",
                "",
                {"name": "other", "initial_value": "x", "default_enabled": True},
            ),
            ("nothing changed", "", {"is_server_key_only": False}),
        )
    ),
    case(
        "feature: tags",
        "",
        lambda w: w.call("PATCH", f"{w.features}{w.feature['id']}/", {"tags": [w.tag["id"]]}),
        "feature tag",
    ),
    case(
        "feature: owner removed",
        "",
        lambda w: w.call("POST", f"{w.features}{w.feature['id']}/remove-owners/", {"user_ids": [w.user.pk]}),
        "feature",
    ),
    case(
        "feature: owner added",
        "",
        lambda w: w.call("POST", f"{w.features}{w.feature['id']}/add-owners/", {"user_ids": [w.user.pk]}),
        "feature",
    ),
    case("tag: created", "", lambda w: w.tag),
    case("tag: edited", "", lambda w: w.call("PATCH", f"{w.of_project}tags/{w.tag['id']}/", {"label": "m"}), "tag"),
    case("tag: deleted", "", lambda w: w.call("DELETE", f"{w.of_project}tags/{w.tag['id']}/"), "tag"),
    case(
        "option: created",
        "AB",
        lambda w: w.call(
            "POST",
            w.options,
            {"type": "unicode", "string_value": "c", "default_percentage_allocation": 10, "feature": w.split["id"]},
        ),
        "split",
    ),
    case(
        "option: the first of its feature",
        "AB",
        lambda w: w.call(
            "POST",
            f"{w.features}{w.feature['id']}/mv-options/",
            {"type": "int", "integer_value": 3, "default_percentage_allocation": 0, "feature": w.feature["id"]},
        ),
        "feature",
    ),
    case("option: deleted", "AB", lambda w: w.call("DELETE", f"{w.options}{w.option['id']}/"), "option"),
    case(
        "option: value",
        "AB",
        lambda w: w.call("PATCH", f"{w.options}{w.option['id']}/", {"string_value": "z"}),
        "option",
    ),
    case(
        "option: default percentage",
        "AB",
        lambda w: w.call("PATCH", f"{w.options}{w.option['id']}/", {"default_percentage_allocation": 5}),
        "option",
        cosmetic=True,
    ),
    case(
        "option: nothing changed",
        "",
        lambda w: w.call("PATCH", f"{w.options}{w.option['id']}/", {"string_value": "a"}),
        "option",
    ),
)
