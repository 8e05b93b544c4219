"""``/api/__future__/…``: segment overrides and variant weights, several in one request."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from segments.models import Segment
from tests.features.flag import Flag, priorities, text, variants

# Events are published on commit.
pytestmark = pytest.mark.django_db(transaction=True)

Changes = Callable[[], tuple[int, list[str]]]

OFF: dict[str, Any] = {"enabled": False, "value": None, "variants": []}


@pytest.fixture
def multivariate(
    admin: APIClient, environment: Environment, make_feature: Callable[..., Feature]
) -> tuple[Flag, list[int]]:
    """A feature with two options, 30 and 20 percent, and their primary keys."""
    feature = make_feature("split", type="MULTIVARIATE", initial_value="control")
    options = [
        MultivariateFeatureOption.objects.create(
            feature=feature, string_value=name, default_percentage_allocation=share
        )
        for name, share in {"a": 30, "b": 20}.items()
    ]
    state = FeatureState.objects.get(feature=feature)
    for option in options:
        state.multivariate_feature_state_values.create(
            multivariate_feature_option=option, percentage_allocation=option.default_percentage_allocation
        )
    return Flag(admin, environment, feature), [option.pk for option in options]


@pytest.fixture
def changes(environment: Environment, events: list[str], logged: Callable[[], list[str]]) -> Changes:
    """The number of events and the audit log messages of the environment since the previous call."""

    def since() -> tuple[int, list[str]]:
        assert set(events) <= {environment.api_key}
        number = len(events)
        events.clear()
        return number, logged()

    return since


@pytest.fixture
def segment_pks(make_segment: Callable[[str], Segment]) -> tuple[int, int, int]:
    """The primary keys of the segments a, b and c."""
    a, b, c = (make_segment(name).pk for name in "abc")
    return a, b, c


def test_override__created_then_changed__copies_the_default_with_one_event_each(
    flag: Flag,
    segment: Segment,
    make_segment: Callable[[str], Segment],
    changes: Changes,
) -> None:
    other = make_segment("other")
    flag.patch(environment_default={"value": text("control")})
    changes()
    answer = flag.patch(
        environment_default={"enabled": True},
        segment_overrides=[
            {"segment": {"id": segment.pk}},
            {"segment": {"id": other.pk}, "enabled": False, "value": text("")},
        ],
    )
    assert answer["segment_overrides"] == [
        {"segment": {"id": segment.pk}, "priority": 0, "enabled": True, "value": text("control"), "variants": []},
        {"segment": {"id": other.pk}, "priority": 1, "enabled": False, "value": text(""), "variants": []},
    ]
    assert changes() == (
        1,
        [
            "Flag state updated for feature: banner",
            "Remote config updated for segment override on feature 'banner' and segment 'professionals'.",
            "Flag state / Remote config value updated for feature 'banner' and segment 'other'",
        ],
    )
    before = {state.feature_segment_id: state.pk for state in FeatureState.objects.exclude(feature_segment=None)}
    answer = flag.patch(
        segment_overrides=[{"segment": {"id": other.pk}, "value": {"type": "boolean", "value": "TRUE"}}]
    )
    assert answer["segment_overrides"][1]["value"] == {"type": "boolean", "value": "true"}
    assert answer["segment_overrides"][1]["enabled"] is False
    assert changes() == (1, ["Remote config updated for segment override on feature 'banner' and segment 'other'."])
    assert before == {
        state.feature_segment_id: state.pk for state in FeatureState.objects.exclude(feature_segment=None)
    }


def test_override__created_equal_to_the_default__no_event_but_a_new_revision(
    flag: Flag, segment: Segment, environment: Environment, events: list[str]
) -> None:
    """No identity's flags change, but the environment document does."""
    revision = Environment.objects.get(pk=environment.pk).revision
    flag.patch(segment_overrides=[{"segment": {"id": segment.pk}}])
    assert events == []
    assert Environment.objects.get(pk=environment.pk).revision > revision


def test_priorities__given_swapped_or_taken__applied_or_rejected(
    flag: Flag, segment_pks: tuple[int, int, int], changes: Changes
) -> None:
    a, b, c = segment_pks
    first = [
        {"segment": {"id": a}, "priority": 10, "enabled": True},
        {"segment": {"id": b}, "priority": 20, "enabled": True},
    ]
    assert priorities(flag.patch(segment_overrides=first)) == [(a, 10), (b, 20)]
    changes()
    swap = [{"segment": {"id": a}, "priority": 20}, {"segment": {"id": b}, "priority": 10}]
    assert priorities(flag.patch(segment_overrides=swap)) == [(b, 10), (a, 20)]
    assert changes() == (1, ["Segment overrides re-ordered for feature 'banner'."])
    taken = {"segment_overrides": [{"segment": {"id": c}, "priority": 20, "enabled": True}]}
    assert flag.rejected("patch", taken) == {"detail": "Duplicate priority: 20."}
    assert flag.rejected("patch", {"segment_overrides": [{"segment": {"id": a}, "priority": 10}]}) == {
        "detail": "Duplicate priority: 10."
    }
    assert priorities(flag.read()) == [(b, 10), (a, 20)]
    # Without a priority a new override gets its position in the list.
    assert priorities(flag.patch(segment_overrides=[{"segment": {"id": c}}])) == [(c, 0), (b, 10), (a, 20)]
    assert changes()[0] == 1
    assert FeatureSegment.objects.count() == 3


def test_override__feature_segment_without_a_state__gets_a_state(
    flag: Flag, feature: Feature, make_override: Callable[..., FeatureSegment]
) -> None:
    """Terraform creates the feature segment first and its state in a second request."""
    feature_segment = make_override(feature, "s", 7, live=False)
    assert flag.read()["segment_overrides"] == []
    flag.patch(segment_overrides=[{"segment": {"id": feature_segment.segment_id}, "enabled": True}])
    assert priorities(flag.read()) == [(feature_segment.segment_id, 7)]
    assert [state.feature_segment for state in FeatureState.objects.exclude(feature_segment=None)] == [feature_segment]


def test_put__parts_of_a_flag__missing_fields_reset_and_overrides_removed(
    flag: Flag, segment_pks: tuple[int, int, int], changes: Changes
) -> None:
    a, b, _ = segment_pks
    flag.patch(
        environment_default={"enabled": True, "value": text("v")},
        segment_overrides=[{"segment": {"id": pk}, "enabled": False, "value": text("o")} for pk in (a, b)],
    )
    changes()
    # The default is not in the body. "b" copies it, and moves up, since "a" is removed.
    answer = flag.put(segment_overrides=[{"segment": {"id": b}}])
    assert answer == {
        "environment_default": {"enabled": True, "value": text("v"), "variants": []},
        "segment_overrides": [
            {"segment": {"id": b}, "priority": 0, "enabled": True, "value": text("v"), "variants": []}
        ],
    }
    assert changes() == (
        1,
        [
            "Flag state / Remote config value deleted for feature 'banner' and segment 'a'",
            "Flag state / Remote config value updated for feature 'banner' and segment 'b'",
            "Remote config updated for segment override on feature 'banner' and segment 'b'.",
        ],
    )
    # A new override copies the default that the same request sets.
    answer = flag.put(
        environment_default={"value": {"type": "integer", "value": "42"}},
        segment_overrides=[{"segment": {"id": a}, "priority": 5, "enabled": True}],
    )
    forty_two = {"type": "integer", "value": "42"}
    assert answer == {
        "environment_default": {"enabled": False, "value": forty_two, "variants": []},
        "segment_overrides": [
            {"segment": {"id": a}, "priority": 5, "enabled": True, "value": forty_two, "variants": []}
        ],
    }
    assert flag.put(environment_default={}, segment_overrides=[]) == {
        "environment_default": OFF,
        "segment_overrides": [],
    }
    assert changes()[0] == 2
    assert FeatureState.objects.count() == 1


def test_variants__weights_changed__only_in_that_default_or_override(
    multivariate: tuple[Flag, list[int]],
    segment: Segment,
    changes: Changes,
) -> None:
    flag, (a, b) = multivariate
    assert flag.read()["environment_default"]["variants"] == variants((a, 30), (b, 20))
    answer = flag.patch(environment_default={"variants": variants((b, 60.5), (a, 30))})
    assert answer["environment_default"] == {
        "enabled": False,
        "value": text("control"),
        "variants": variants((a, 30), (b, 60.5)),
    }
    assert changes() == (1, ["Multivariate value changed for feature 'split'."])
    # A new override copies the weights.
    answer = flag.patch(segment_overrides=[{"segment": {"id": segment.pk}, "enabled": True}])
    assert answer["segment_overrides"][0]["variants"] == variants((a, 30), (b, 60.5))
    answer = flag.patch(segment_overrides=[{"segment": {"id": segment.pk}, "variants": variants((a, 100), (b, 0))}])
    assert answer["segment_overrides"][0]["variants"] == variants((a, 100), (b, 0))
    assert answer["environment_default"]["variants"] == variants((a, 30), (b, 60.5))
    answer = flag.put(segment_overrides=[{"segment": {"id": segment.pk}, "enabled": True}])
    assert answer["segment_overrides"][0]["variants"] == variants((a, 30), (b, 60.5))
    rows = FeatureState.objects.get(feature_segment__segment=segment).multivariate_feature_state_values
    assert rows.count() == 2


def test_variants__invalid__rejected_with_field(multivariate: tuple[Flag, list[int]], flag: Flag) -> None:
    flag_with_options, (a, b) = multivariate

    def errors(given: Any, to: Flag = flag_with_options, method: str = "patch") -> Any:
        return to.rejected(method, {"environment_default": {"variants": given}})["environment_default"]["variants"]

    assert errors(variants((a, 50))) == ["Must include all feature's variants."]
    assert errors(variants((a, 50), (b, 10), (0, 1))) == ["Variant not found."]
    assert errors(variants((a, 50), (b, 10), (b, 10))) == ["This variant is given more than once."]
    assert errors(variants((a, 50), (b, 50.1))) == ["Multivariate percentage values exceed 100%."]
    assert errors(variants((a, -1), (b, 1))) == [{"weight": ["Ensure this value is greater than or equal to 0."]}, {}]
    assert errors(variants((a, 50), (b, 10)), flag) == ["Feature is not multivariate."]
    assert flag_with_options.rejected("put", {"environment_default": {"enabled": True}}) == {
        "environment_default": {"variants": ["Must include all feature's variants."]}
    }
    assert flag_with_options.read()["environment_default"]["variants"] == variants((a, 30), (b, 20))


def test_override__removed__rows_deleted_and_priorities_closed_up(
    flag: Flag, segment_pks: tuple[int, int, int], changes: Changes
) -> None:
    a, b, c = segment_pks
    flag.patch(segment_overrides=[{"segment": {"id": pk}, "enabled": True} for pk in (a, b, c)])
    changes()
    answer = flag.remove(b)
    assert priorities(answer) == [(a, 0), (c, 1)]
    assert changes() == (1, ["Flag state / Remote config value deleted for feature 'banner' and segment 'b'"])
    assert (FeatureState.objects.count(), FeatureSegment.objects.count()) == (3, 2)
    again = flag.client.delete(f"{flag.path}segment-overrides/{b}/")
    assert (again.status_code, again.json()) == (404, {"detail": "Segment override not found."})
    assert changes()[0] == 0


def test_flag__10_overrides__as_many_queries_as_for_2(
    admin: APIClient,
    environment: Environment,
    make_feature: Callable[..., Feature],
    make_segment: Callable[[str], Segment],
) -> None:
    def calls(number: int) -> list[int]:
        feature = make_feature(f"f{number}", type="MULTIVARIATE")
        options = [
            MultivariateFeatureOption.objects.create(feature=feature, string_value=str(each)).pk for each in range(2)
        ]
        flag = Flag(admin, environment, feature)
        named = [{"segment": {"id": make_segment(str(each)).pk}} for each in range(number)]
        shares, others = (variants(*((pk, weight) for pk in options)) for weight in (1, 2))
        new = [{**each, "enabled": True, "variants": shares} for each in named]
        changed = [
            {**each, "value": text("x"), "variants": others, "priority": number - position}
            for position, each in enumerate(named)
        ]
        found = []
        for method, body in (
            ("patch", {"environment_default": {"variants": shares}, "segment_overrides": new}),
            ("get", None),
            ("patch", {"segment_overrides": changed}),
            ("patch", {"segment_overrides": changed}),
            ("put", {"segment_overrides": named[:1]}),
            ("put", {"segment_overrides": []}),
        ):
            with CaptureQueriesContext(connection) as queries:
                flag._call(method, body)
            found.append(len(queries))
        return found

    few = calls(2)
    # SQLite writes the audit log's entries of 20 overrides by two INSERT statements, of at most 999 values each.
    assert calls(10) == few
    assert max(few) <= 50, few
