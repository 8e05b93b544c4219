"""Segments and their overrides."""

from tests.triggers.case import TEXT, case
from tests.triggers.world import rules

OVERRIDES = (
    case("override: feature segment alone", "", lambda w: w.feature_segment, "feature segment"),
    case(
        "override: second step, another enabled",
        "A",
        lambda w: w.call(
            "POST",
            "features/featurestates/",
            w.second_step(enabled=True, feature_state_value={"type": "unicode", "string_value": "red"}),
        ),
        "feature_segment",
    ),
    case(
        "override: second step, another value",
        "A",
        lambda w: w.call("POST", "features/featurestates/", w.second_step(enabled=False, feature_state_value=TEXT)),
        "feature_segment",
    ),
    case(
        "override: second step, both",
        "A",
        lambda w: w.call("POST", "features/featurestates/", w.second_step(enabled=True, feature_state_value=TEXT)),
        "feature_segment",
    ),
    case(
        "override: second step, as the default is",
        "",
        lambda w: w.call(
            "POST",
            "features/featurestates/",
            w.second_step(enabled=False, feature_state_value={"type": "unicode", "string_value": "red"}),
        ),
        "feature_segment",
        silent="A",
    ),
    case("override: in one step", "A", lambda w: w.override, "feature segment"),
    case(
        "override: in one step, as the default is",
        "",
        lambda w: w.make_override(w.segment, {"enabled": False}),
        "feature segment",
        silent="A",
    ),
    case(
        "override: enabled", "A", lambda w: w.call("PUT", w.override_state, w.override_body(enabled=False)), "override"
    ),
    case(
        "override: value",
        "A",
        lambda w: w.call("PUT", w.override_state, w.override_body(feature_state_value=TEXT)),
        "override",
    ),
    case(
        "override: enabled and value in one call",
        "A",
        lambda w: w.call("PUT", w.override_state, w.override_body(enabled=False, feature_state_value=TEXT)),
        "override",
    ),
    case("override: nothing changed", "", lambda w: w.call("PUT", w.override_state, w.override_body()), "override"),
    case(
        "override: percentages",
        "A",
        lambda w: w.call("PUT", f"features/featurestates/{w.split_override['id']}/", w.override_shares(40, 10)),
        "split_override",
    ),
    case(
        "override: nothing changed, in the flag as a whole",
        "",
        lambda w: w.call("PATCH", w.whole, {"segment_overrides": [w.whole_override(enabled=True)]}),
        "override",
    ),
    case(
        "override: removed",
        "A",
        lambda w: w.call("DELETE", f"features/feature-segments/{w.override['feature_segment']['id']}/"),
        "override",
    ),
    case(
        "override: feature segment without a state removed",
        "",
        lambda w: w.call("DELETE", f"features/feature-segments/{w.feature_segment['id']}/"),
        "feature_segment",
    ),
    case("override: order changed", "A", lambda w: w.reorder(1, 0), "override other_override"),
    case(
        "override: its place alone, in the flag as a whole",
        "A",
        lambda w: w.call("PATCH", w.whole, {"segment_overrides": [w.whole_override(priority=5)]}),
        "override other_override",
    ),
    case("override: order unchanged", "", lambda w: w.reorder(0, 1), "override other_override"),
)

SEGMENTS = (
    case("segment: created", "AB", lambda w: w.segment),
    case(
        "segment: cloned",
        "AB",
        lambda w: w.call("POST", f"{w.segments}{w.segment['id']}/clone/", {"name": "c"}),
        "segment",
    ),
    case(
        "segment: rules",
        "AB",
        lambda w: w.call("PUT", f"{w.segments}{w.segment['id']}/", {"name": "professionals", "rules": rules("max")}),
        "segment",
    ),
    case(
        "segment: name and rules in one call",
        "AB",
        lambda w: w.call("PUT", f"{w.segments}{w.segment['id']}/", {"name": "others", "rules": rules("max")}),
        "segment",
    ),
    case(
        "segment: name",
        "AB",
        lambda w: w.call("PATCH", f"{w.segments}{w.segment['id']}/", {"name": "others"}),
        "segment",
    ),
    case(
        "segment: description",
        "",
        lambda w: w.call("PATCH", f"{w.segments}{w.segment['id']}/", {"description": "d"}),
        "segment",
    ),
    case(
        "segment: nothing changed, with ids",
        "",
        lambda w: w.call("PUT", f"{w.segments}{w.segment['id']}/", w.segment),
        "segment",
    ),
    case(
        "segment: nothing changed, without ids",
        "",
        lambda w: w.call("PUT", f"{w.segments}{w.segment['id']}/", {"name": "professionals", "rules": rules()}),
        "segment",
    ),
    case("segment: deleted", "AB", lambda w: w.call("DELETE", f"{w.segments}{w.segment['id']}/"), "segment"),
    case(
        "segment: deleted with an override",
        "AB",
        lambda w: w.call("DELETE", f"{w.segments}{w.segment['id']}/"),
        "override",
    ),
)
