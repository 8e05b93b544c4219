from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from environments.models import Webhook
from organisations.models import OrganisationWebhook
from webhooks import targets


def validate_target(url: str) -> None:
    """Raise ValidationError if a webhook cannot have this URL. Its host is resolved at delivery."""
    if (error := targets.url_error(url)) is not None:
        raise ValidationError(error)


class TargetField(serializers.URLField):
    """A URL that a webhook can have."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=200, **kwargs)
        self.validators.append(validate_target)


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """An environment's webhook. The secret is empty for users who may not change the webhook."""

    url = TargetField()

    class Meta:
        model = Webhook
        fields = ("id", "url", "enabled", "created_at", "updated_at", "secret")

    def to_representation(self, instance: Webhook) -> dict[str, Any]:
        fields = super().to_representation(instance)
        return fields if self.context.get("shows_secrets", True) else {**fields, "secret": ""}


class OrganisationWebhookSerializer(serializers.ModelSerializer[OrganisationWebhook]):
    url = TargetField()

    class Meta:
        model = OrganisationWebhook
        fields = ("id", "url", "enabled", "secret", "created_at", "updated_at")


class ScopeSerializer(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=["organisation", "environment"])
    id = serializers.CharField(help_text="An organisation's number, or an environment's client-side key.")


class TrialSerializer(serializers.Serializer[Any]):
    """The body of ``webhooks/test/``."""

    webhook_url = TargetField()
    scope = ScopeSerializer()
    secret = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=255)


class TrialOutcomeSerializer(serializers.Serializer[Any]):
    """The outcome of a trial. ``status`` is the receiver's; ``body`` is the reason of a failure."""

    detail = serializers.CharField()
    status = serializers.IntegerField(required=False)
    body = serializers.CharField(required=False)
