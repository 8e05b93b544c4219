from typing import Any

from rest_framework import serializers

from app_analytics import labels, usage
from app_analytics.models import BILLABLE
from features.fields import ObjectID

# A hundred years. Much larger numbers would lead to dates that Python cannot represent.
MAX_DAYS = 36_500


def _label_fields() -> dict[str, Any]:
    return {name: serializers.CharField(allow_null=True, required=False) for name in labels.NAMES}


class LabelsSerializer(serializers.Serializer[Any]):
    """The labels of a row. Null: not sent."""

    def get_fields(self) -> dict[str, Any]:
        return _label_fields()


class LabelsQuerySerializer(serializers.Serializer[Any]):
    """Filters by label. ``validated_data["labels"]`` has the given ones as pairs of name and value."""

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), **_label_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = {name: attrs.pop(name, None) for name in labels.NAMES}
        return {**attrs, "labels": tuple((name, label) for name, label in given.items() if label is not None)}


class UsageQuerySerializer(LabelsQuerySerializer):
    project_id = ObjectID(required=False)
    environment_id = ObjectID(required=False)
    period = serializers.ChoiceField(
        choices=usage.PERIODS, allow_null=True, default=None, help_text="By default the last 30 days."
    )


class EvaluationQuerySerializer(LabelsQuerySerializer):
    environment_id = ObjectID()
    period = serializers.IntegerField(
        default=usage.DEFAULT_DAYS, min_value=0, max_value=MAX_DAYS, help_text="Days, up to today."
    )


class UsageDataSerializer(serializers.Serializer[Any]):
    """The numbers of requests of one day with one set of labels."""

    def get_fields(self) -> dict[str, Any]:
        return {
            **{resource.name.lower(): serializers.IntegerField() for resource in BILLABLE},
            "day": serializers.DateField(),
            "labels": LabelsSerializer(),
        }


class StreamsSerializer(serializers.Serializer[Any]):
    """The number of streams that were opened on one day."""

    day = serializers.DateField()
    count = serializers.IntegerField()


class FeatureEvaluationDataSerializer(serializers.Serializer[Any]):
    day = serializers.DateField()
    count = serializers.IntegerField()
    labels = LabelsSerializer()


class TotalCountSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()


class EventsSerializer(serializers.Serializer[Any]):
    events = serializers.IntegerField()
