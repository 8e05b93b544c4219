from typing import Any

from rest_framework import serializers

from api_keys.models import MasterAPIKey


class MasterAPIKeySerializer(serializers.ModelSerializer):
    name = serializers.CharField(max_length=50)
    key = serializers.CharField(
        read_only=True, help_text="The key, only in the response to its creation, because only a hash is stored."
    )
    is_admin = serializers.BooleanField(default=True)
    has_expired = serializers.BooleanField(read_only=True)

    optional_in_responses = ("key",)

    class Meta:
        model = MasterAPIKey
        fields = (
            "id",
            "prefix",
            "created",
            "name",
            "revoked",
            "expiry_date",
            "key",
            "is_admin",
            "has_expired",
            "created_by",
        )
        read_only_fields = ("created_by",)

    def validate_is_admin(self, is_admin: bool) -> bool:
        if not is_admin:
            raise serializers.ValidationError("RBAC is not installed, cannot create non-admin key")
        return is_admin

    def create(self, validated_data: dict[str, Any]) -> MasterAPIKey:
        api_key = MasterAPIKey(**validated_data)
        api_key.key = MasterAPIKey.objects.assign_key(api_key)
        api_key.save()
        return api_key
