"""Feature states in two formats: the value as a scalar below ``environments/``, as an object elsewhere."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.fields import ConstantText
from core.items import CompleteItem, Items
from environments.access import visible_environments
from environments.identities.models import Identity
from environments.models import Environment
from features.feature_states import services
from features.fields import INTEGER_BOUNDS, ObjectID, RawValue
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.multivariate.percentages import exceed_100
from features.values import ValueType

FIELDS = (
    "id",
    "feature_state_value",
    "multivariate_feature_state_values",
    "deleted_at",
    "uuid",
    "enabled",
    "created_at",
    "updated_at",
    "live_from",
    "version",
    "feature",
    "environment",
    "identity",
    "feature_segment",
    "change_request",
    "environment_feature_version",
)

SHARES_OVER_100 = "Multivariate percentage values exceed 100%."


class FeatureStateValueSerializer(serializers.ModelSerializer[FeatureStateValue]):
    """The columns of a value. Columns missing from a body are unchanged."""

    class Meta:
        model = FeatureStateValue
        fields = ("type", "string_value", "integer_value", "boolean_value")
        extra_kwargs = {**INTEGER_BOUNDS, "type": {"allow_blank": False}}


def raw_value(value: Any) -> dict[str, Any]:
    """The columns for a JSON scalar, by its type. Raises ValidationError with the column's name."""
    match value:
        case bool():
            columns = {"type": ValueType.BOOLEAN, "boolean_value": value}
        case int():
            columns = {"type": ValueType.INTEGER, "integer_value": value}
        case _:
            columns = {"type": ValueType.STRING, "string_value": value}
    serializer = FeatureStateValueSerializer(data=columns)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class ShareSerializer(CompleteItem, serializers.ModelSerializer[MultivariateFeatureStateValue]):
    """The percentage of identities that receive an option. The option identifies the share; ``id`` is ignored."""

    multivariate_feature_option = ObjectID(source="multivariate_feature_option_id")

    class Meta:
        model = MultivariateFeatureStateValue
        fields = ("id", "multivariate_feature_option", "percentage_allocation")
        list_serializer_class = Items


def check_shares(shares: list[dict[str, Any]], feature: Feature) -> None:
    """Raise ValidationError unless each share is of a different option of the feature, and the sum is at most 100 %."""
    if exceed_100(share["percentage_allocation"] for share in shares):
        raise ValidationError(SHARES_OVER_100)
    options = feature.multivariate_options.values_list("pk", flat=True) if shares else ()
    if errors := share_errors(shares, set(options)):
        raise ValidationError(errors)


def share_errors(shares: list[dict[str, Any]], options: Collection[int]) -> dict[str, Any]:
    """Errors of shares by field name; empty if there are none. ``options``: primary keys of the feature's options."""
    given = [share["multivariate_feature_option_id"] for share in shares]
    occurrences = Counter(given)
    errors: list[dict[str, list[str]]] = [{} for _ in given]
    for error, pk in zip(errors, given, strict=True):
        if pk not in options:
            error["multivariate_feature_option"] = [f'Invalid pk "{pk}" - object does not exist.']
        elif occurrences[pk] > 1:
            error["multivariate_feature_option"] = ["This option is given more than once."]
    return {"multivariate_feature_state_values": errors} if any(errors) else {}


class ProjectFeature(serializers.PrimaryKeyRelatedField[Feature]):
    """A feature of the project of the view's environment."""

    def get_queryset(self) -> QuerySet[Feature]:
        return Feature.objects.filter(project_id=self.context["view"].environment.project_id)


class VisibleEnvironment(serializers.PrimaryKeyRelatedField[Environment]):
    """An environment that is visible to the caller."""

    def get_queryset(self) -> QuerySet[Environment]:
        return visible_environments(self.context["view"].actor)


class EnvironmentFeatureSegment(serializers.PrimaryKeyRelatedField[FeatureSegment]):
    """A feature segment of the view's environment."""

    def get_queryset(self) -> QuerySet[FeatureSegment]:
        return FeatureSegment.objects.filter(environment=self.context["view"].environment)


class EnvironmentIdentity(serializers.PrimaryKeyRelatedField[Identity]):
    """An identity of the view's environment."""

    def get_queryset(self) -> QuerySet[Identity]:
        return Identity.objects.filter(environment=self.context["view"].environment)


class FeatureStateSerializer(serializers.ModelSerializer[FeatureState]):
    """Base of both formats. The ``FIXED`` fields of a stored state cannot change."""

    FIXED = ("feature", "environment", "feature_segment", "identity")

    multivariate_feature_state_values = ShareSerializer(many=True, required=False)
    deleted_at = ConstantText(None)
    feature = ProjectFeature(queryset=Feature.objects.all())
    change_request = serializers.IntegerField(source="change_request_id", read_only=True, allow_null=True)
    environment_feature_version = ConstantText(None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        state = self.instance
        for name in self.FIXED if state is not None else ():
            if name in attrs and getattr(attrs[name], "pk", None) != getattr(state, f"{name}_id"):
                raise ValidationError({name: [f"Cannot change the {name.replace('_', ' ')} of a feature state"]})
        if attrs.get("multivariate_feature_state_values"):
            feature = attrs["feature"] if state is None else state.feature
            check_shares(attrs["multivariate_feature_state_values"], feature)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> FeatureState:
        return services.create_state(self.context["view"].environment, **_service_arguments(validated_data))

    def update(self, instance: FeatureState, validated_data: dict[str, Any]) -> FeatureState:
        return services.update_state(instance, **_service_arguments(validated_data))


def _service_arguments(validated_data: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments for the services: columns of the state, columns of the value, and shares."""
    columns = {name: value for name, value in validated_data.items() if name != "environment"}
    value = columns.pop("feature_state_value", None)
    shares = columns.pop("multivariate_feature_state_values", None)
    return {"value": value, "shares": shares, **columns}


class RawFeatureStateSerializer(FeatureStateSerializer):
    """A feature state below an environment or an identity: the value is a scalar."""

    feature_state_value = RawValue(required=False, allow_null=True)
    environment = VisibleEnvironment(queryset=Environment.objects.all(), required=False)

    class Meta:
        model = FeatureState
        fields: tuple[str, ...] = FIELDS
        read_only_fields: tuple[str, ...] = ("version", "identity", "feature_segment")
        # services.create_state checks uniqueness under the view's lock.
        validators: list[Any] = []

    def to_internal_value(self, data: Any) -> Any:
        value = None
        if isinstance(data, Mapping) and "feature_state_value" in data:
            value = raw_value(data["feature_state_value"])
        attrs = super().to_internal_value(data)
        return attrs if value is None else {**attrs, "feature_state_value": value}


class PatchedFeatureStateSerializer(RawFeatureStateSerializer):
    """Request of a PATCH below an environment, and its short response."""

    feature_state_value = RawValue(required=False, allow_null=True, write_only=True)
    feature = ProjectFeature(read_only=True)

    class Meta(RawFeatureStateSerializer.Meta):
        fields = ("feature", "enabled", "feature_state_value")


class IdentitySummarySerializer(serializers.ModelSerializer[Identity]):
    class Meta:
        model = Identity
        fields = ("id", "identifier")


class ListedFeatureStateSerializer(RawFeatureStateSerializer):
    """A feature state in a list below an environment: the identity is an object."""

    identity = IdentitySummarySerializer(read_only=True, allow_null=True)

    class Meta(RawFeatureStateSerializer.Meta):
        fields = (*FIELDS[:3], "identity", *(name for name in FIELDS[3:] if name != "identity"))


class ObjectFeatureStateSerializer(FeatureStateSerializer):
    """``features/featurestates/``: the value is an object with a column for each type."""

    feature_state_value = FeatureStateValueSerializer(required=False)
    environment = VisibleEnvironment(queryset=Environment.objects.all())
    feature_segment = EnvironmentFeatureSegment(queryset=FeatureSegment.objects.all(), required=False, allow_null=True)
    identity = EnvironmentIdentity(queryset=Identity.objects.all(), required=False, allow_null=True)
    identifier = serializers.CharField(required=False, write_only=True, help_text="In place of `identity`.")

    class Meta:
        model = FeatureState
        fields = (*FIELDS, "identifier")
        read_only_fields = ("version",)
        validators: list[Any] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        identifier = attrs.pop("identifier", None)
        if identifier is not None:
            identity = self.context["view"].environment.identities.filter(identifier=identifier).first()
            if identity is None:
                raise ValidationError("Invalid identifier")
            attrs["identity"] = identity
        if self.instance is None:
            self._check_feature_segment(attrs)
        return super().validate(attrs)

    def _check_feature_segment(self, attrs: dict[str, Any]) -> None:
        feature_segment = attrs.get("feature_segment")
        if feature_segment is None:
            return
        if attrs.get("identity") is not None:
            raise ValidationError("A feature state cannot override both a segment and an identity.")
        if feature_segment.feature_id != attrs["feature"].pk:
            raise ValidationError({"feature_segment": ["Feature segment does not belong to feature."]})


class FeatureStateFilterSerializer(serializers.Serializer[Any]):
    """Query parameters of ``features/featurestates/``."""

    environment = ObjectID()
    feature = ObjectID(required=False)
    feature_segment = ObjectID(required=False)


class EnvironmentFeatureStateFilterSerializer(serializers.Serializer[Any]):
    """Query parameters of ``environments/{api_key}/featurestates/``."""

    feature = ObjectID(required=False)
    feature_name = serializers.CharField(required=False, help_text="The whole name, in any case.")
    anyIdentity = serializers.CharField(  # noqa: N815
        required=False, help_text="Any value: the overrides of identities in place of the defaults."
    )
