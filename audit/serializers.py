from typing import Any

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.models import AuditLog
from core.paths import MAX_ID
from environments.serializers import EnvironmentSerializer
from projects.serializers import ProjectSerializer
from users.serializers import UserSummarySerializer

# A query can hold only so many parameters.
MOST_ENVIRONMENTS = 1_000


class AuditLogSerializer(serializers.ModelSerializer[AuditLog]):
    """An entry in a list. Its environment and its project are null when they are gone."""

    author = UserSummarySerializer(read_only=True)
    environment = EnvironmentSerializer(read_only=True)
    project = ProjectSerializer(read_only=True)

    class Meta:
        model = AuditLog
        fields: tuple[str, ...] = (
            "id",
            "created_date",
            "log",
            "author",
            "environment",
            "project",
            "related_object_id",
            "related_object_uuid",
            "related_object_type",
            "is_system_event",
        )
        read_only_fields = fields


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}], "nullable": True})
class PlainField(serializers.ReadOnlyField):
    pass


class ChangeDetailSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(read_only=True)
    old = PlainField()
    new = PlainField()


class AuditLogDetailSerializer(AuditLogSerializer):
    change_details = ChangeDetailSerializer(many=True, read_only=True)

    class Meta(AuditLogSerializer.Meta):
        fields = (*AuditLogSerializer.Meta.fields, "change_details", "change_type")
        read_only_fields = fields


class AuditFilterSerializer(serializers.Serializer[Any]):
    """The query of a list of entries."""

    project = serializers.IntegerField(required=False, min_value=0, max_value=MAX_ID)
    environments = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=MAX_ID),
        required=False,
        max_length=MOST_ENVIRONMENTS,
        help_text="Repeat it for several.",
    )
    search = serializers.CharField(required=False, max_length=256, help_text="Part of the log's text, in any case.")
    is_system_event = serializers.BooleanField(required=False)

    @classmethod
    def read(cls, query: QueryDict) -> dict[str, Any]:
        """What a query asks for. An empty parameter asks for nothing."""
        given: dict[str, Any] = {name: text for name, text in query.items() if text}
        if environments := [text for text in query.getlist("environments") if text]:
            given["environments"] = environments
        serializer = cls(data=given)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)
