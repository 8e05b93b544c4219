"""Serializers and validation of the lists in a change request's body. Each list is resolved with one query."""

from collections.abc import Iterable, Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.items import CompleteItem, Items
from environments.models import Environment
from features.feature_segments.services import MAX_PRIORITY, with_live_state
from features.feature_states.serializers import (
    SHARES_OVER_100,
    FeatureStateValueSerializer,
    ShareSerializer,
    share_errors,
)
from features.fields import MAX_IDS, ObjectID
from features.models import Feature, FeatureSegment
from features.multivariate.models import MultivariateFeatureOption
from features.multivariate.percentages import exceed_100
from features.workflows.core.change_sets import NamedSegment, RequestedSet, change_set_json, named
from features.workflows.core.contents import RequestedState
from features.workflows.core.details import feature_states_json
from features.workflows.core.models import ChangeRequestApproval, ChangeSet
from projects.models import Project
from users.models import FFAdminUser

SHARES = "multivariate_feature_state_values"


def does_not_exist(pk: int) -> list[str]:
    return [f'Invalid pk "{pk}" - object does not exist.']


class RequestedStates(Items):
    """The states of a request of ``details.detailed_requests``."""

    def get_attribute(self, instance: Any) -> Any:
        return feature_states_json(instance)

    def to_representation(self, data: Any) -> Any:
        return data


class FeatureSegmentID(ObjectID):
    """A feature segment's primary key. Flagsmith's dashboard sends the whole object instead."""

    def to_internal_value(self, data: Any) -> int:
        return super().to_internal_value(data.get("id", "") if isinstance(data, Mapping) else data)


class RequestedStateSerializer(CompleteItem):
    """A feature state of a change request. Fields that a new one omits are copied from the live state."""

    id = serializers.IntegerField(read_only=True)
    feature = ObjectID()
    feature_segment = FeatureSegmentID(required=False, allow_null=True)
    enabled = serializers.BooleanField(required=False)
    feature_state_value = FeatureStateValueSerializer(required=False)
    multivariate_feature_state_values = ShareSerializer(many=True, required=False)
    live_from = serializers.DateTimeField(required=False, allow_null=True)

    class Meta:
        list_serializer_class = RequestedStates


NO_OVERRIDE = "The segment {} has no override of this feature."
TWICE = "This segment is given more than once."
STATES_ELSEWHERE = "Send states in feature_states of the change request."


@extend_schema_field({"type": "array", "items": {"type": "object"}})
class NoStates(serializers.ListField):
    """States of Flagsmith's change sets. Here they are in ``feature_states``, so this list is empty."""

    child = serializers.JSONField()

    def to_internal_value(self, data: Any) -> Any:
        if super().to_internal_value(data):
            raise ValidationError(STATES_ELSEWHERE)
        return []


class PlaceSerializer(serializers.Serializer[Any]):
    """A segment and its priority in the new order."""

    segment = ObjectID()
    priority = serializers.IntegerField(min_value=0, max_value=MAX_PRIORITY)


class OrderedStateSerializer(CompleteItem):
    """An override's place in the new order. States are in ``feature_states`` of the request."""

    feature_segment = PlaceSerializer()

    class Meta:
        list_serializer_class = Items

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            others = {str(name): [STATES_ELSEWHERE] for name in data if name != "feature_segment"}
            if others:
                raise ValidationError(others)
        return super().to_internal_value(data)


class ChangeSets(Items):
    def to_representation(self, data: Any) -> Any:
        return [change_set_json(each) for each in data.all()]


class ChangeSetSerializer(CompleteItem):
    """Removals and the order of a feature's segment overrides."""

    feature = ObjectID()
    feature_states_to_create = NoStates(required=False)
    feature_states_to_update = OrderedStateSerializer(many=True, required=False)
    segment_ids_to_delete_overrides = serializers.ListField(child=ObjectID(), required=False, max_length=MAX_IDS)
    live_from = serializers.DateTimeField(required=False, allow_null=True)

    class Meta:
        list_serializer_class = ChangeSets


class ApprovalSerializer(CompleteItem, serializers.ModelSerializer[ChangeRequestApproval]):
    """A user who is asked to approve or has approved."""

    user = ObjectID(source="user_id")

    class Meta:
        model = ChangeRequestApproval
        fields = ("id", "user", "approved_at")
        read_only_fields = ("approved_at",)
        list_serializer_class = Items


class NoGroups(Items):
    """Group assignments are not supported: always empty in a response."""

    def get_attribute(self, instance: Any) -> Any:
        return []


class GroupAssignmentSerializer(CompleteItem):
    """A user group that is asked to approve. Not supported."""

    group = ObjectID()

    class Meta:
        list_serializer_class = NoGroups


def validate_feature_states(items: list[dict[str, Any]], environment: Environment) -> list[RequestedState]:
    """Resolve the feature states of a body. Raises ValidationError with one item per state."""
    features = Feature.objects.filter(project=environment.project_id).in_bulk([item["feature"] for item in items])
    feature_segment_ids = {item["feature_segment"] for item in items if item.get("feature_segment") is not None}
    feature_segments = (
        FeatureSegment.objects.filter(environment=environment)
        .select_related("segment")
        .in_bulk(list(feature_segment_ids))
    )
    options = _options(features.values() if any(item.get(SHARES) for item in items) else ())
    errors = [_errors(item, features, feature_segments, options) for item in items]
    _raise_errors(errors)
    requested_states = [_requested_state(item, features, feature_segments) for item in items]
    seen = set()
    for error, requested in zip(errors, requested_states, strict=True):
        if requested.target in seen:
            error["feature"] = ["This request has a state for the same feature and segment already."]
        seen.add(requested.target)
    _raise_errors(errors)
    return requested_states


def validate_change_sets(
    items: list[dict[str, Any]], environment: Environment, stored: Iterable[ChangeSet]
) -> list[RequestedSet]:
    """Resolve the change sets of a body. Raises ValidationError with one item per set.

    Segments of the request's ``stored`` change sets are valid, even if their overrides are gone.
    """
    features = Feature.objects.filter(project=environment.project_id).in_bulk([item["feature"] for item in items])
    overrides: dict[int, dict[int, NamedSegment]] = {}
    for change_set in stored:
        segments = {segment["id"]: segment for segment in (*change_set.removed, *change_set.order)}
        overrides.setdefault(change_set.feature_id, {}).update(segments)
    removable = {pk: set(segments) for pk, segments in overrides.items()}
    feature_segments = FeatureSegment.objects.filter(environment=environment, feature__in=features)
    for each in feature_segments.select_related("segment"):
        # Among them are new overrides of requests.
        overrides.setdefault(each.feature_id, {})[each.segment_id] = named(each.segment)
    for feature, segment in with_live_state(feature_segments).values_list("feature", "segment"):
        removable.setdefault(feature, set()).add(segment)
    errors: list[dict[str, Any]] = []
    requested = []
    seen: set[int] = set()
    for item in items:
        pk = item["feature"]
        segments = overrides.get(pk, {})
        removed = list(dict.fromkeys(item.get("segment_ids_to_delete_overrides", [])))
        places = [state["feature_segment"] for state in item.get("feature_states_to_update", [])]
        given = [place["segment"] for place in places]
        order = [place["segment"] for place in sorted(places, key=lambda place: place["priority"])]
        removable_here = removable.get(pk, set())
        error = _change_set_error(pk, features, segments, removable_here, removed, given, is_repeated=pk in seen)
        errors.append(error)
        seen.add(pk)
        if not error:
            kept = [segment for segment in order if segment not in removed]
            resolved = [[segments[each] for each in pks] for pks in (removed, kept)]
            requested.append(RequestedSet(features[pk], resolved[0], resolved[1], item.get("live_from")))
    _raise_errors(errors)
    return requested


def _change_set_error(
    pk: int,
    features: Mapping[int, Feature],
    segments: Mapping[int, NamedSegment],
    removable: set[int],
    removed: list[int],
    order: list[int],
    *,
    is_repeated: bool,
) -> dict[str, Any]:
    if pk not in features:
        return {"feature": does_not_exist(pk)}
    if is_repeated:
        return {"feature": ["This request has a change set for the same feature already."]}
    if missing := [segment for segment in removed if segment not in removable]:
        return {"segment_ids_to_delete_overrides": [NO_OVERRIDE.format(missing[0])]}
    messages = [
        NO_OVERRIDE.format(segment) if segment not in segments else TWICE if order.count(segment) > 1 else ""
        for segment in order
    ]
    if any(messages):
        places = [{"feature_segment": {"segment": [message]}} if message else {} for message in messages]
        return {"feature_states_to_update": places}
    return {}


def _errors(
    item: dict[str, Any],
    features: Mapping[int, Feature],
    feature_segments: Mapping[int, FeatureSegment],
    options: Mapping[int, set[int]],
) -> dict[str, Any]:
    feature, feature_segment_id = item["feature"], item.get("feature_segment")
    if feature not in features:
        return {"feature": does_not_exist(feature)}
    if feature_segment_id is not None:
        if feature_segment_id not in feature_segments:
            return {"feature_segment": does_not_exist(feature_segment_id)}
        if feature_segments[feature_segment_id].feature_id != feature:
            return {"feature_segment": ["Feature segment does not belong to feature."]}
    shares = item.get(SHARES, [])
    if exceed_100(share["percentage_allocation"] for share in shares):
        return {"non_field_errors": [SHARES_OVER_100]}
    return share_errors(shares, options.get(feature, set()))


def _options(features: Iterable[Feature]) -> dict[int, set[int]]:
    options: dict[int, set[int]] = {}
    rows = MultivariateFeatureOption.objects.filter(feature__in=list(features)).values_list("feature_id", "pk")
    for feature, option in rows:
        options.setdefault(feature, set()).add(option)
    return options


def _requested_state(
    item: dict[str, Any], features: Mapping[int, Feature], feature_segments: Mapping[int, FeatureSegment]
) -> RequestedState:
    feature_segment_id = item.get("feature_segment")
    return RequestedState(
        feature=features[item["feature"]],
        feature_segment=feature_segments[feature_segment_id] if feature_segment_id is not None else None,
        enabled=item.get("enabled"),
        value=item.get("feature_state_value"),
        shares=item.get(SHARES),
        live_from=item.get("live_from"),
        sets_live_from="live_from" in item,
    )


def validate_reviewers(items: list[dict[str, Any]], project: Project) -> list[FFAdminUser]:
    """Resolve the reviewers of a body, who must be members of the organisation."""
    user_ids = [item["user_id"] for item in items]
    members = FFAdminUser.objects.filter(organisations=project.organisation_id).in_bulk(user_ids)
    _raise_errors([{} if pk in members else {"user": does_not_exist(pk)} for pk in user_ids])
    return list(members.values())


def validate_groups(items: list[dict[str, Any]]) -> list[Any]:
    _raise_errors([{"group": does_not_exist(item["group"])} for item in items])
    return []


def _raise_errors(errors: list[dict[str, Any]]) -> None:
    if any(errors):
        raise ValidationError(errors)
