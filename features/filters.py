"""Query parameters of the list of features, and the filters and the order that they select."""

from collections.abc import Callable
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.queries import QuerySerializer
from environments.models import Environment
from features.fields import MAX_IDS, ObjectID
from features.models import Feature, FeatureSegment, FeatureState, FeatureType
from features.state_summaries import default_states
from features.values import MAX_32_BIT_INTEGER, ValueType

REVERSE_RELATIONS = ("multivariate_options",)
MANY_TO_MANY = ("owners", "group_owners", "tags")
RELATIONS = (*REVERSE_RELATIONS, *MANY_TO_MANY)
INTERSECTION, UNION = "INTERSECTION", "UNION"


class IDs(serializers.CharField):
    """Comma-separated primary keys."""

    def to_internal_value(self, data: Any) -> Any:
        texts = [text.strip() for text in super().to_internal_value(data).split(",") if text.strip()]
        if len(texts) > MAX_IDS:
            raise ValidationError(f"At most {MAX_IDS} at once.")
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


def filter_features(
    features: QuerySet[Feature], parameters: dict[str, Any], environment: Environment | None, *, with_relations: bool
) -> QuerySet[Feature]:
    """Filter and order features by the parameters of ``FeatureFilterSerializer``.

    ``with_relations`` prefetches all relations; a list view reads them itself, page by page.
    """
    features = _filter_by_columns(features, parameters)
    if with_relations:
        features = features.prefetch_related(*RELATIONS)
    overridden: list[QuerySet[Any]] = []
    if environment is not None:
        features = _filter_by_state(features, parameters, environment)
        if "segment" in parameters:
            overridden.append(FeatureSegment.objects.filter(environment=environment, segment=parameters["segment"]))
    if "identity" in parameters:
        overridden.append(FeatureState.objects.filter(identity=parameters["identity"], version__isnull=False))
    overridden_first = [Exists(overrides.filter(feature=OuterRef("pk"))).desc() for overrides in overridden]
    sign = "-" if parameters["sort_direction"] == "DESC" else ""
    return features.order_by(*overridden_first, f"{sign}{parameters['sort_field']}", f"{sign}id")


def _filter_by_columns(features: QuerySet[Feature], parameters: dict[str, Any]) -> QuerySet[Feature]:
    conditions: dict[str, Callable[[Any], Q]] = {
        "search": lambda text: Q(name__icontains=text),
        "is_archived": lambda archived: Q(is_archived=archived),
        "type": lambda kind: Q(type=kind),
        "tags": lambda tags: _tag_condition(tags, parameters["tag_strategy"]),
    }
    for name, condition in conditions.items():
        if name in parameters:
            features = features.filter(condition(parameters[name]))
    if "owners" in parameters or "group_owners" in parameters:
        # Owned by any of the users or by any of the groups.
        of_users = Feature.owners.through.objects.filter(ffadminuser__in=parameters.get("owners", ()))
        of_groups = Feature.group_owners.through.objects.filter(
            userpermissiongroup__in=parameters.get("group_owners", ())
        )
        features = features.filter(Q(pk__in=of_users.values("feature")) | Q(pk__in=of_groups.values("feature")))
    return features


def _tag_condition(tags: list[int], strategy: str) -> Q:
    if not tags:
        return ~Q(pk__in=Feature.objects.filter(tags__isnull=False).values("pk"))
    tagged = Feature.objects.filter(tags__in=tags)
    if strategy == INTERSECTION:
        tagged = tagged.annotate(matches=Count("tags")).filter(matches=len(set(tags)))
    return Q(pk__in=tagged.order_by().values("pk"))


def _filter_by_state(
    features: QuerySet[Feature], parameters: dict[str, Any], environment: Environment
) -> QuerySet[Feature]:
    states = default_states(environment)
    if parameters.get("is_enabled") is not None:
        features = features.filter(pk__in=states.filter(enabled=parameters["is_enabled"]).values("feature"))
    if "value_search" in parameters:
        features = features.filter(pk__in=states.filter(_value_condition(parameters["value_search"])).values("feature"))
    return features


def _value_condition(text: str) -> Q:
    """Matches text values that contain the text, and numbers and booleans that are equal to it."""
    prefix = "feature_state_value__"
    matches = Q(**{f"{prefix}type": ValueType.STRING, f"{prefix}string_value__icontains": text})
    if text.lower() in ("true", "false"):
        matches |= Q(**{f"{prefix}type": ValueType.BOOLEAN, f"{prefix}boolean_value": text.lower() == "true"})
    digits = text.removeprefix("-")
    if digits.isdecimal() and len(digits) <= 10 and int(digits) <= MAX_32_BIT_INTEGER:
        matches |= Q(**{f"{prefix}type": ValueType.INTEGER, f"{prefix}integer_value": int(text)})
    return matches
