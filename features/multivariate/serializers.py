from typing import Any

from django.core.validators import validate_slug
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.items import Items
from core.representation import QuickSerializer, related
from features.fields import INTEGER_BOUNDS, ObjectID
from features.models import Feature
from features.multivariate import services
from features.multivariate.models import MultivariateFeatureOption

FIELDS = (
    "id",
    "uuid",
    "type",
    "integer_value",
    "string_value",
    "boolean_value",
    "default_percentage_allocation",
    "key",
)

FIELD_OPTIONS = {**INTEGER_BOUNDS, "type": {"allow_blank": False}}

DEFAULTS_OVER_100 = "Invalid percentage allocation"

# SDKs use this name for the value of identities that receive no option.
CONTROL = "control"


class OptionList(Items):
    def get_attribute(self, instance: Any) -> Any:
        return related(instance, str(self.source))


class NestedOptionSerializer(QuickSerializer, serializers.ModelSerializer[MultivariateFeatureOption]):
    """An option in the body of its feature. Without an ``id`` it is a new one."""

    id = ObjectID(required=False)

    class Meta:
        model = MultivariateFeatureOption
        fields = FIELDS
        read_only_fields = ("key",)
        list_serializer_class = OptionList
        extra_kwargs = FIELD_OPTIONS


class PathFeature(serializers.PrimaryKeyRelatedField[Feature]):
    """The feature of the path. Optional in a body."""

    def get_queryset(self) -> Any:
        return Feature.objects.filter(pk=self.context["view"].feature.pk)


class OptionSerializer(serializers.ModelSerializer[MultivariateFeatureOption]):
    feature = PathFeature(queryset=Feature.objects.all(), required=False)

    class Meta:
        model = MultivariateFeatureOption
        fields = (*FIELDS, "feature")
        extra_kwargs = {**FIELD_OPTIONS, "key": {"allow_blank": False, "validators": [validate_slug]}}

    def validate_key(self, key: str | None) -> str | None:
        if key == CONTROL:
            raise ValidationError(f'"{CONTROL}" is reserved for the value of identities that receive no option.')
        others = self.context["view"].feature.multivariate_options.exclude(pk=self.instance and self.instance.pk)
        if key is not None and others.filter(key=key).exists():
            raise ValidationError("Multivariate option with this key already exists for the feature.")
        return key

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        feature, option = self.context["view"].feature, self.instance
        if option is None:
            attrs.setdefault("default_percentage_allocation", services.DEFAULT_PERCENTAGE)
        if "default_percentage_allocation" in attrs and services.option_exceeds_100(
            attrs["default_percentage_allocation"], feature, option
        ):
            raise ValidationError({"default_percentage_allocation": [DEFAULTS_OVER_100]})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> MultivariateFeatureOption:
        return services.add_option(**{**validated_data, "feature": self.context["view"].feature})
