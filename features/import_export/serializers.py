"""Exports and imports of features, in Flagsmith's formats."""

from collections import Counter
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.items import Items
from core.parsers import parse_json
from features.feature_states.serializers import SHARES_OVER_100, FeatureStateValueSerializer
from features.fields import ObjectID, ProjectObjects, RawValue
from features.import_export.exports import create_export
from features.import_export.imports import import_features
from features.import_export.models import MAX_BYTES, FeatureExport, FeatureImport, Strategy
from features.models import Feature
from features.multivariate.percentages import exceed_100
from features.multivariate.serializers import DEFAULTS_OVER_100
from features.serializers import name_matches, project_tags
from features.values import ValueType
from users.models import FFAdminUser

TYPES: dict[str, tuple[type, str, str]] = {
    ValueType.INTEGER: (int, "integer_value", "an integer"),
    ValueType.STRING: (str, "string_value", "text"),
    ValueType.BOOLEAN: (bool, "boolean_value", "true or false"),
}
"""By type: that of the JSON value, its column, and its name in messages."""


class NewExportSerializer(serializers.Serializer[FeatureExport]):
    environment_id = ObjectID()
    tag_ids = ProjectObjects(project_tags, help_text="Tags of the features; an empty list for all features.")

    def create(self, validated_data: dict[str, Any]) -> FeatureExport:
        return create_export(self.context["view"].environment, validated_data["tag_ids"])

    def to_representation(self, instance: FeatureExport) -> Any:
        return FeatureExportSerializer(instance).data


class FeatureExportSerializer(serializers.ModelSerializer[FeatureExport]):
    name = serializers.SerializerMethodField()
    environment_id = serializers.IntegerField(read_only=True)

    class Meta:
        model = FeatureExport
        fields = ("id", "name", "environment_id", "status", "created_at")
        read_only_fields = fields

    def get_name(self, export: FeatureExport) -> str:
        return f"{export.environment.name} | {export.created_at:%Y-%m-%d %H:%M} UTC"


class TypedItem(serializers.Serializer[Any]):
    """Base of objects with a ``type`` and a ``value``. Adds the value's ``columns``."""

    type = serializers.ChoiceField(choices=ValueType.choices)
    value = RawValue(allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind, column, name = TYPES[attrs["type"]]
        value = attrs["value"]
        if value is not None and type(value) is not kind:
            raise ValidationError({"value": [f'With the type "{attrs["type"]}" this must be {name}, or null.']})
        columns = FeatureStateValueSerializer(data={"type": attrs["type"], column: value})
        if not columns.is_valid():
            raise ValidationError({"value": columns.errors[column]})
        return {**attrs, "columns": dict(columns.validated_data)}


class OptionItemSerializer(TypedItem):
    """A multivariate option with its percentage in the environment."""

    percentage_allocation = serializers.FloatField(min_value=0, max_value=100)
    default_percentage_allocation = serializers.FloatField(min_value=0, max_value=100)

    class Meta:
        list_serializer_class = Items


def _require_unique(field: str, keys: list[Any], message: str) -> None:
    """Raise ValidationError with this message for the field of each item whose key another item has too."""
    occurrences = Counter(keys)
    errors = [{field: [message]} if occurrences[key] > 1 else {} for key in keys]
    if any(errors):
        raise ValidationError(errors)


class FeatureItems(Items):
    """The features of a file: each name once, regardless of case."""

    def validate(self, attrs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        _require_unique("name", [item["name"].lower() for item in attrs], TWICE)
        return attrs


TWICE = "The file has this name more than once."


class FeatureItemSerializer(TypedItem):
    """A feature with its state in the environment that it was exported from."""

    name = serializers.CharField(max_length=Feature._meta.get_field("name").max_length)
    default_enabled = serializers.BooleanField()
    is_server_key_only = serializers.BooleanField()
    initial_value = serializers.CharField(max_length=settings.FEATURE_VALUE_LIMIT, allow_null=True, allow_blank=True)
    enabled = serializers.BooleanField()
    multivariate = OptionItemSerializer(many=True)

    class Meta:
        list_serializer_class = FeatureItems

    def validate_name(self, name: str) -> str:
        """Names of features that exist are accepted, even if they do not match the project's rule for new ones."""
        regex = self.context["view"].project.feature_name_regex
        if regex and name.lower() not in self.context["existing"] and not name_matches(regex, name):
            raise ValidationError(f"Feature name must match regex: {regex}")
        return name

    def validate_multivariate(self, options: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if exceed_100(each["percentage_allocation"] for each in options):
            raise ValidationError(SHARES_OVER_100)
        if exceed_100(each["default_percentage_allocation"] for each in options):
            raise ValidationError(DEFAULTS_OVER_100)
        _require_unique("value", [(each["type"], each["value"]) for each in options], OPTION_TWICE)
        return options


OPTION_TWICE = "The feature has an option with this value already."


@extend_schema_field(FeatureItemSerializer(many=True))
class FeatureFile(serializers.Field):
    """An uploaded file, as in Flagsmith, or its list in a JSON body."""

    default_error_messages = {
        "too_large": "File size is too large.",
        "not_json": "The file is not JSON: {reason}",
        "not_a_list": "Expected a list of features, as an export has it.",
    }

    def to_internal_value(self, data: Any) -> list[dict[str, Any]]:
        if isinstance(data, UploadedFile):
            data = self._parsed(data)
        if not isinstance(data, list):
            self.fail("not_a_list")
        names = self.context["view"].project.features.values_list("name", flat=True)
        context = {**self.context, "existing": {name.lower() for name in names}}
        items = FeatureItemSerializer(data=data, many=True, context=context)
        items.is_valid(raise_exception=True)
        validated: list[dict[str, Any]] = items.validated_data
        return validated

    def _parsed(self, file: UploadedFile) -> Any:
        if (file.size or 0) > MAX_BYTES:
            self.fail("too_large")
        try:
            return parse_json(file.read())
        except (ValueError, RecursionError) as error:
            self.fail("not_json", reason=error)


class NewImportSerializer(serializers.Serializer[FeatureImport]):
    file = FeatureFile(write_only=True)
    strategy = serializers.ChoiceField(choices=Strategy.choices)

    def create(self, validated_data: dict[str, Any]) -> FeatureImport:
        view = self.context["view"]
        creator = view.actor if isinstance(view.actor, FFAdminUser) else None
        return import_features(view.environment, validated_data["file"], validated_data["strategy"], creator)

    def to_representation(self, instance: FeatureImport) -> Any:
        return FeatureImportSerializer(instance).data


class FeatureImportSerializer(serializers.ModelSerializer[FeatureImport]):
    """A finished import. Flagsmith has none of the numbers."""

    environment_id = serializers.IntegerField(read_only=True)

    class Meta:
        model = FeatureImport
        fields = (
            "id",
            "environment_id",
            "strategy",
            "status",
            "created_at",
            "created_features",
            "overwritten_features",
            "skipped_features",
            "removed_overrides",
        )
        read_only_fields = fields
