"""Detection of changed rows: saves by different means, drafts, fixtures, deletions."""

import pytest
from django.core import serializers
from django.db.models import F

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from projects.models import Project
from segments.models import Segment
from tests.support.events import Recorder

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def test_save__new_instance_with_an_existing_primary_key__event(
    recorded: Recorder, feature: Feature, project: Project, environment: Environment
) -> None:
    recorded.clear()
    Feature(
        pk=feature.pk, uuid=feature.uuid, created_date=feature.created_date, name="replaced", project=project
    ).save()
    assert len(recorded.of(environment)) == 1


def test_save__fixture__no_event(recorded: Recorder, feature: Feature) -> None:
    feature.description = "from a fixture"
    text = serializers.serialize("json", [feature])
    recorded.clear()
    for row in serializers.deserialize("json", text):
        row.save()
    assert recorded.events == []


def test_save__only_a_column_that_sdks_do_not_read__no_event(recorded: Recorder, feature: Feature) -> None:
    feature.is_archived, feature.name = True, "not saved"
    recorded.clear()
    feature.save(update_fields=["is_archived"])
    assert recorded.events == []


def test_save__instance_older_than_the_row__compared_with_the_row(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    old = FeatureState.objects.get(pk=state.pk)
    state.enabled = True
    state.save()
    recorded.clear()
    old.save()
    assert len(recorded.of(environment)) == 1


def test_save__expression__event(
    recorded: Recorder, state: FeatureState, segment: Segment, environment: Environment
) -> None:
    override = FeatureSegment.objects.create(feature=state.feature, segment=segment, environment=environment)
    FeatureState.objects.create(feature=state.feature, environment=environment, feature_segment=override)
    recorded.clear()
    override.priority = F("priority") + 1
    override.save()
    assert len(recorded.of(environment)) == 1


def test_save__draft__no_event(recorded: Recorder, state: FeatureState, environment: Environment) -> None:
    recorded.clear()
    FeatureState.objects.create(feature=state.feature, environment=environment, version=None, enabled=True)
    assert recorded.events == []


def test_save__published_state_made_a_draft_and_published_again__event_each_time(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    recorded.clear()
    for version, enabled, events in ((None, False, 1), (None, True, 1), (2, True, 2), (3, True, 2)):
        state.version, state.enabled = version, enabled
        state.save()
        assert len(recorded.of(environment)) == events


def test_delete__override_without_a_state__no_event(
    recorded: Recorder, feature: Feature, segment: Segment, environment: Environment
) -> None:
    recorded.clear()
    FeatureSegment.objects.create(feature=feature, segment=segment, environment=environment).delete()
    assert recorded.events == []


@pytest.mark.parametrize(("version", "events"), [(None, 0), (1, 1)], ids=["draft", "published"])
def test_create__override_equal_to_the_default_beside_another_one__event_if_that_is_published(
    recorded: Recorder,
    state: FeatureState,
    segment: Segment,
    project: Project,
    environment: Environment,
    version: int | None,
    events: int,
) -> None:
    """A published override of a lower priority may lose its effect."""
    overrides = [
        FeatureSegment.objects.create(feature=state.feature, segment=of, environment=environment)
        for of in (segment, Segment.objects.create(name="others", project=project))
    ]
    other = FeatureState.objects.create(
        feature=state.feature, environment=environment, feature_segment=overrides[0], enabled=True, version=version
    )
    FeatureStateValue.objects.create(feature_state=other)
    recorded.clear()
    added = FeatureState.objects.create(feature=state.feature, environment=environment, feature_segment=overrides[1])
    FeatureStateValue.objects.create(feature_state=added)
    assert len(recorded.of(environment)) == events
