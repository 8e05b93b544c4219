from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.models import AuditLog
from core.paths import MAX_ID
from core.queries import QuerySerializer
from core.representation import QuickSerializer
from environments.serializers import EnvironmentSerializer
from projects.serializers import ProjectSerializer
from users.serializers import UserSummarySerializer

# The database limits the number of a query's parameters.
MAX_ENVIRONMENTS = 1_000


class AuditLogSerializer(QuickSerializer, serializers.ModelSerializer[AuditLog]):
    """An entry in a list. Its environment and its project are null if they were deleted."""

    author = UserSummarySerializer(read_only=True)
    environment = EnvironmentSerializer(read_only=True, allow_null=True)
    project = ProjectSerializer(read_only=True, allow_null=True)

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


class AuditFilterSerializer(QuerySerializer):
    """The query parameters of a list of entries."""

    project = serializers.IntegerField(required=False, min_value=0, max_value=MAX_ID)
    environments = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=MAX_ID),
        required=False,
        max_length=MAX_ENVIRONMENTS,
        help_text="Repeat the parameter for several environments.",
    )
    search = serializers.CharField(required=False, max_length=256, help_text="Part of the log's text, in any case.")
    is_system_event = serializers.BooleanField(required=False)
