from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from environments.models import Webhook
from organisations.models import OrganisationWebhook
from webhooks import targets


def no_refusal(url: str) -> None:
    """Raise ValidationError if a webhook cannot have this URL. Where its name leads is looked up when it is called."""
    if (refusal := targets.refusal(url)) is not None:
        raise ValidationError(refusal)


class TargetField(serializers.URLField):
    """A URL that a webhook can have."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=200, **kwargs)
        self.validators.append(no_refusal)


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """Without the secret for those who may see the webhook, but not change it."""

    url = TargetField()

    class Meta:
        model = Webhook
        fields = ("id", "url", "enabled", "created_at", "updated_at", "secret")

    def to_representation(self, instance: Webhook) -> dict[str, Any]:
        shown = super().to_representation(instance)
        return shown if self.context.get("shows_secrets", True) else {**shown, "secret": ""}


class OrganisationWebhookSerializer(serializers.ModelSerializer[OrganisationWebhook]):
    url = TargetField()

    class Meta:
        model = OrganisationWebhook
        fields = ("id", "url", "enabled", "secret", "created_at", "updated_at")


class ScopeSerializer(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=["organisation", "environment"])
    id = serializers.CharField(help_text="An organisation's number, or an environment's client-side key.")


class TrialSerializer(serializers.Serializer[Any]):
    """What ``webhooks/test/`` takes."""

    webhook_url = TargetField()
    scope = ScopeSerializer()
    secret = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=255)


class TrialAnswerSerializer(serializers.Serializer[Any]):
    """What came of it. ``status`` is the receiver's; ``body`` says what went wrong."""

    detail = serializers.CharField()
    status = serializers.IntegerField(required=False)
    body = serializers.CharField(required=False)
