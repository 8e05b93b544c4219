"""The query of a list of features, and what it makes of the list."""

from collections.abc import Callable
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.queries import QuerySerializer
from environments.models import Environment
from features.fields import MOST_IDS, ObjectID
from features.models import Feature, FeatureSegment, FeatureState, FeatureType
from features.shown import default_states
from features.values import MAX_32_BIT_INTEGER, ValueType

TO_MANY = ("multivariate_options",)
MANY_TO_MANY = ("owners", "group_owners", "tags")
RELATIONS = (*TO_MANY, *MANY_TO_MANY)
INTERSECTION, UNION = "INTERSECTION", "UNION"


class IDs(serializers.CharField):
    """Primary keys, separated by commas."""

    def to_internal_value(self, data: Any) -> Any:
        texts = [text.strip() for text in super().to_internal_value(data).split(",") if text.strip()]
        if len(texts) > MOST_IDS:
            raise ValidationError(f"At most {MOST_IDS} at once.")
        return [ObjectID().run_validation(text) for text in texts]

    def to_representation(self, value: Any) -> str:
        return ",".join(map(str, value))


class FeatureFilterSerializer(QuerySerializer):
    allow_empty = ("tags",)

    search = serializers.CharField(required=False, help_text="Part of the name, in any case.")
    sort_field = serializers.ChoiceField(choices=("created_date", "name"), default="created_date")
    sort_direction = serializers.ChoiceField(choices=("ASC", "DESC"), default="ASC")
    tags = IDs(required=False, allow_blank=True, help_text="Empty: features without tags.")
    tag_strategy = serializers.ChoiceField(choices=(INTERSECTION, UNION), default=INTERSECTION)
    is_archived = serializers.BooleanField(required=False)
    type = serializers.ChoiceField(choices=FeatureType.choices, required=False)
    owners = IDs(required=False)
    group_owners = IDs(required=False)
    environment = ObjectID(required=False, help_text="Show the features as they are in this environment.")
    segment = ObjectID(required=False, help_text="Show this segment's overrides, and the overridden features first.")
    identity = ObjectID(required=False, help_text="Show the features first that this identity overrides.")
    is_enabled = serializers.BooleanField(required=False, allow_null=True, help_text="In the environment.")
    value_search = serializers.CharField(required=False, help_text="In the environment: part of a text, or a value.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        by_state = attrs.get("is_enabled") is not None or "value_search" in attrs
        if by_state and "environment" not in attrs:
            raise ValidationError({"environment": ["This field is required to filter by is_enabled or value_search."]})
        return attrs


def listed(
    features: QuerySet[Feature], wanted: dict[str, Any], environment: Environment | None, *, to_change: bool
) -> QuerySet[Feature]:
    """The features that are wanted, in the wanted order. ``features.shown`` reads what is shown of them there."""
    features = _filtered(features, wanted)
    if to_change:
        features = features.prefetch_related(*RELATIONS)
    overridden: list[QuerySet[Any]] = []
    if environment is not None:
        features = _filtered_by_state(features, wanted, environment)
        if "segment" in wanted:
            overridden.append(FeatureSegment.objects.filter(environment=environment, segment=wanted["segment"]))
    if "identity" in wanted:
        overridden.append(FeatureState.objects.filter(identity=wanted["identity"], version__isnull=False))
    first = [Exists(overrides.filter(feature=OuterRef("pk"))).desc() for overrides in overridden]
    sign = "-" if wanted["sort_direction"] == "DESC" else ""
    return features.order_by(*first, f"{sign}{wanted['sort_field']}", f"{sign}id")


def _filtered(features: QuerySet[Feature], wanted: dict[str, Any]) -> QuerySet[Feature]:
    simple: dict[str, Callable[[Any], Q]] = {
        "search": lambda text: Q(name__icontains=text),
        "is_archived": lambda archived: Q(is_archived=archived),
        "type": lambda kind: Q(type=kind),
        "tags": lambda tags: _tagged(tags, wanted["tag_strategy"]),
    }
    for name, condition in simple.items():
        if name in wanted:
            features = features.filter(condition(wanted[name]))
    if "owners" in wanted or "group_owners" in wanted:
        # Any of the owners, or any of the groups.
        of_users = Feature.owners.through.objects.filter(ffadminuser__in=wanted.get("owners", ()))
        of_groups = Feature.group_owners.through.objects.filter(userpermissiongroup__in=wanted.get("group_owners", ()))
        features = features.filter(Q(pk__in=of_users.values("feature")) | Q(pk__in=of_groups.values("feature")))
    return features


def _tagged(tags: list[int], strategy: str) -> Q:
    if not tags:
        return ~Q(pk__in=Feature.objects.filter(tags__isnull=False).values("pk"))
    tagged = Feature.objects.filter(tags__in=tags)
    if strategy == INTERSECTION:
        tagged = tagged.annotate(times=Count("tags")).filter(times=len(set(tags)))
    return Q(pk__in=tagged.order_by().values("pk"))


def _filtered_by_state(
    features: QuerySet[Feature], wanted: dict[str, Any], environment: Environment
) -> QuerySet[Feature]:
    states = default_states(environment)
    if wanted.get("is_enabled") is not None:
        features = features.filter(pk__in=states.filter(enabled=wanted["is_enabled"]).values("feature"))
    if "value_search" in wanted:
        features = features.filter(pk__in=states.filter(_holds(wanted["value_search"])).values("feature"))
    return features


def _holds(text: str) -> Q:
    """A value of which this is a part, or a number or boolean that this is the text of."""
    value = "feature_state_value__"
    found = Q(**{f"{value}type": ValueType.STRING, f"{value}string_value__icontains": text})
    if text.lower() in ("true", "false"):
        found |= Q(**{f"{value}type": ValueType.BOOLEAN, f"{value}boolean_value": text.lower() == "true"})
    digits = text.removeprefix("-")
    if digits.isdecimal() and len(digits) <= 10 and int(digits) <= MAX_32_BIT_INTEGER:
        found |= Q(**{f"{value}type": ValueType.INTEGER, f"{value}integer_value": int(text)})
    return found
