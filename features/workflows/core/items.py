"""The lists inside of a change request's body. Each is looked up with one query, whatever its length."""

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.items import CompleteItem, Items
from environments.models import Environment
from features.feature_states.serializers import (
    OVER_WHOLE,
    FeatureStateValueSerializer,
    ShareSerializer,
    share_errors,
)
from features.fields import ObjectID
from features.models import Feature, FeatureSegment
from features.multivariate.models import MultivariateFeatureOption
from features.multivariate.percentages import exceed_whole
from features.workflows.core.contents import Wish
from features.workflows.core.models import ChangeRequestApproval
from features.workflows.core.reading import states_of
from projects.models import Project
from users.models import FFAdminUser

SHARES = "multivariate_feature_state_values"


def unknown(pk: int) -> list[str]:
    return [f'Invalid pk "{pk}" - object does not exist.']


class RequestedStates(Items):
    """The states of a request that ``reading.whole`` has read."""

    def get_attribute(self, instance: Any) -> Any:
        return states_of(instance)

    def to_representation(self, data: Any) -> Any:
        return data


class FeatureSegmentID(ObjectID):
    """A feature segment's primary key. The dashboard sends back the whole object that it has read meanwhile."""

    def to_internal_value(self, data: Any) -> int:
        return super().to_internal_value(data.get("id", "") if isinstance(data, Mapping) else data)


class RequestedStateSerializer(CompleteItem):
    """A feature state of a change request. What a new one leaves out is as in the state that is live."""

    id = serializers.IntegerField(read_only=True)
    feature = ObjectID()
    feature_segment = FeatureSegmentID(required=False, allow_null=True)
    enabled = serializers.BooleanField(required=False)
    feature_state_value = FeatureStateValueSerializer(required=False)
    multivariate_feature_state_values = ShareSerializer(many=True, required=False)
    live_from = serializers.DateTimeField(required=False, allow_null=True)

    class Meta:
        list_serializer_class = RequestedStates


class ApprovalSerializer(CompleteItem, serializers.ModelSerializer[ChangeRequestApproval]):
    """Somebody who is asked to approve, or who did."""

    user = ObjectID(source="user_id")

    class Meta:
        model = ChangeRequestApproval
        fields = ("id", "user", "approved_at")
        read_only_fields = ("approved_at",)
        list_serializer_class = Items


class NoGroups(Items):
    """Groups are not asked to approve here: none is taken, none is shown."""

    def get_attribute(self, instance: Any) -> Any:
        return []


class GroupAssignmentSerializer(CompleteItem):
    """A group of users who are asked to approve."""

    group = ObjectID()

    class Meta:
        list_serializer_class = NoGroups


def wishes(items: list[dict[str, Any]], environment: Environment) -> list[Wish]:
    """What the feature states of a body ask for. Raises ValidationError, in the items' order, for what is not there."""
    features = Feature.objects.filter(project=environment.project_id).in_bulk([item["feature"] for item in items])
    named = {item["feature_segment"] for item in items if item.get("feature_segment") is not None}
    places = FeatureSegment.objects.filter(environment=environment).select_related("segment").in_bulk(list(named))
    options = _options(features.values() if any(item.get(SHARES) for item in items) else ())
    errors = [_errors(item, features, places, options) for item in items]
    _refuse(errors)
    found = [_wish(item, features, places) for item in items]
    seen = set()
    for error, wish in zip(errors, found, strict=True):
        if wish.place in seen:
            error["feature"] = ["This request has a state for the same feature and segment already."]
        seen.add(wish.place)
    _refuse(errors)
    return found


def _errors(
    item: dict[str, Any],
    features: Mapping[int, Feature],
    places: Mapping[int, FeatureSegment],
    options: Mapping[int, set[int]],
) -> dict[str, Any]:
    feature, place = item["feature"], item.get("feature_segment")
    if feature not in features:
        return {"feature": unknown(feature)}
    if place is not None:
        if place not in places:
            return {"feature_segment": unknown(place)}
        if places[place].feature_id != feature:
            return {"feature_segment": ["Feature segment does not belong to feature."]}
    shares = item.get(SHARES, [])
    if exceed_whole(share["percentage_allocation"] for share in shares):
        return {"non_field_errors": [OVER_WHOLE]}
    return share_errors(shares, options.get(feature, set()))


def _options(features: Iterable[Feature]) -> dict[int, set[int]]:
    options: dict[int, set[int]] = {}
    rows = MultivariateFeatureOption.objects.filter(feature__in=list(features)).values_list("feature_id", "pk")
    for feature, option in rows:
        options.setdefault(feature, set()).add(option)
    return options


def _wish(item: dict[str, Any], features: Mapping[int, Feature], places: Mapping[int, FeatureSegment]) -> Wish:
    place = item.get("feature_segment")
    return Wish(
        feature=features[item["feature"]],
        feature_segment=places[place] if place is not None else None,
        enabled=item.get("enabled"),
        value=item.get("feature_state_value"),
        shares=item.get(SHARES),
        live_from=item.get("live_from"),
        sets_live_from="live_from" in item,
    )


def reviewers(items: list[dict[str, Any]], project: Project) -> list[FFAdminUser]:
    """The people whom a body asks to approve: members of the organisation; others do not exist."""
    asked = [item["user_id"] for item in items]
    members = FFAdminUser.objects.filter(organisations=project.organisation_id).in_bulk(asked)
    _refuse([{} if pk in members else {"user": unknown(pk)} for pk in asked])
    return list(members.values())


def no_groups(items: list[dict[str, Any]]) -> list[Any]:
    _refuse([{"group": unknown(item["group"])} for item in items])
    return []


def _refuse(errors: list[dict[str, Any]]) -> None:
    if any(errors):
        raise ValidationError(errors)
