"""The inspector's figures and the check of a key, in the Admin API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from diagnosis.causes import InspectedVersion

MAX_KEY_LENGTH = 1_000


class ProcessSerializer(serializers.Serializer[Any]):
    """A process that serves streams."""

    host = serializers.CharField()
    pid = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    seen_at = serializers.DateTimeField(help_text="Its last heartbeat.")
    streams = serializers.IntegerField(help_text="Open streams of the environment.")
    windows = serializers.IntegerField(help_text="Open windows of the dashboard.")


class EventSerializer(serializers.Serializer[Any]):
    """The delivery of an event, in all processes together."""

    written = serializers.IntegerField(help_text="Streams to which it was written.")
    superseded = serializers.IntegerField(help_text="Streams that got a later event instead.")
    healed = serializers.BooleanField(help_text="A process found it by the reconcile.")
    p50_ms = serializers.FloatField(allow_null=True, help_text="Median of the time from the version to the write.")
    p99_ms = serializers.FloatField(allow_null=True)


class CauseSerializer(serializers.Serializer[Any]):
    log = serializers.CharField()
    author = serializers.CharField(source="who")


class VersionSerializer(serializers.Serializer[InspectedVersion]):
    """A version of the last hour."""

    version = serializers.CharField(help_text="As in the event: seconds since the epoch.")
    at = serializers.DateTimeField()
    event = EventSerializer(allow_null=True, help_text="Null: not sent, because real-time updates were off.")
    causes = CauseSerializer(
        source="causes.first",
        many=True,
        help_text="The first entries of the audit log about the change. Empty without VIEW_AUDIT_LOG.",
    )
    number_of_causes = serializers.SerializerMethodField()

    @extend_schema_field(serializers.IntegerField)
    def get_number_of_causes(self, version: InspectedVersion) -> int:
        return len(version.causes.first) + version.causes.more


class MinuteSerializer(serializers.Serializer[Any]):
    begins_at = serializers.DateTimeField()
    streams = serializers.IntegerField(help_text="Open streams at its end.")
    events = serializers.IntegerField()
    written = serializers.IntegerField(help_text="Deliveries to streams.")
    superseded = serializers.IntegerField()
    p50_ms = serializers.FloatField(allow_null=True)
    p99_ms = serializers.FloatField(allow_null=True)


class ServerKeySerializer(serializers.Serializer[Any]):
    """A server-side key with open streams, which receive no events."""

    name = serializers.CharField(help_text="Empty for callers who are not admins of the environment.")
    streams = serializers.IntegerField()


class InspectionSerializer(serializers.Serializer[Any]):
    gate_closed_reason = serializers.CharField(help_text="The reason why nothing is sent; empty if events are sent.")
    streams = serializers.IntegerField(help_text="Open streams of applications.")
    windows = serializers.IntegerField(help_text="Open windows of the dashboard.")
    server_keys = ServerKeySerializer(many=True)
    processes = ProcessSerializer(many=True)
    versions = VersionSerializer(many=True, help_text="The newest first.")
    minutes = MinuteSerializer(many=True, help_text="Sixty, the oldest first.")


class KeySerializer(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=MAX_KEY_LENGTH)


class CheckedKeySerializer(serializers.Serializer[Any]):
    text = serializers.CharField(help_text="What a stream with this key receives, as far as the caller may know.")
    is_right = serializers.BooleanField(help_text="It is the environment's own client-side key.")
    streams = serializers.IntegerField(
        allow_null=True, help_text="Open streams with a server-side key that the caller may see. Null for other keys."
    )
