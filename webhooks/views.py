"""The webhooks of an environment and of an organisation, and ``webhooks/test/``."""

import asyncio
import re
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.mixins import CreateModelMixin, DestroyModelMixin, ListModelMixin, UpdateModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ModelViewSet

from core import actor
from core.pagination import FixedPages
from core.paths import ENVIRONMENT_KEY, ID
from environments.access import is_environment_admin, visible_environments
from environments.models import Environment, Webhook
from environments.scope import EnvironmentScopedView
from organisations.access import visible_organisations
from organisations.models import Organisation, OrganisationWebhook
from organisations.scope import OrganisationScopedView
from webhooks.samples import SAMPLES
from webhooks.sending import Outcome, send
from webhooks.serializers import (
    OrganisationWebhookSerializer,
    TrialOutcomeSerializer,
    TrialSerializer,
    WebhookSerializer,
)
from webhooks.throttles import TrialThrottle


@extend_schema(tags=["webhooks"])
class WebhookViewSet(
    EnvironmentScopedView,
    ListModelMixin,
    CreateModelMixin,
    UpdateModelMixin,
    DestroyModelMixin,
    GenericViewSet[Webhook],
):
    """An environment's webhooks. They receive the changes of its flags."""

    rules = "environments/webhooks"
    queryset = Webhook.objects.none()
    serializer_class = WebhookSerializer
    pagination_class = None

    def get_queryset(self) -> QuerySet[Webhook]:
        return self.environment.webhooks.all()

    def get_serializer_context(self) -> dict[str, Any]:
        context = {**super().get_serializer_context()}
        if self.action == "list":
            context["shows_secrets"] = is_environment_admin(self.actor, self.environment)
        return context

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(environment=self.environment)


@extend_schema(tags=["webhooks"])
class OrganisationWebhookViewSet(OrganisationScopedView, ModelViewSet[OrganisationWebhook]):
    """An organisation's webhooks. They receive the changes of all flags, and each entry of the audit log."""

    rules = "organisations/webhooks"
    queryset = OrganisationWebhook.objects.none()
    serializer_class = OrganisationWebhookSerializer
    pagination_class = FixedPages

    def get_queryset(self) -> QuerySet[OrganisationWebhook]:
        return self.organisation.webhooks.all()

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(organisation=self.organisation)


@extend_schema(tags=["webhooks"])
class TrialView(EnvironmentScopedView):
    """Sends a sample event to a URL and returns the outcome."""

    rules = "webhooks/test"
    serializer_class = TrialSerializer
    throttle_classes = [TrialThrottle]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # Without a transaction: nothing is written, and the receiver may be slow.
        with actor.request():
            return APIView.dispatch(self, request, *args, **kwargs)

    @cached_property
    def validated_data(self) -> dict[str, Any]:
        """The validated body. Raises ValidationError."""
        serializer = self.get_serializer(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def find_organisation(self) -> Organisation | None:
        organisation_id = self.validated_data["scope"]["id"]
        if not re.fullmatch(ID, organisation_id):
            return None
        return visible_organisations(self.actor).filter(pk=organisation_id).first()

    def find_environment(self) -> Environment | None:
        api_key = self.validated_data["scope"]["id"]
        if not re.fullmatch(ENVIRONMENT_KEY, api_key):
            return None
        return visible_environments(self.actor).select_related("project").filter(api_key=api_key).first()

    @extend_schema(responses=TrialOutcomeSerializer)
    def post(self, request: Request) -> Response:
        body = SAMPLES[self.validated_data["scope"]["type"]]
        url, secret = self.validated_data["webhook_url"], self.validated_data.get("secret") or ""
        return _response(asyncio.run(send(url, body, secret)))


def _response(outcome: Outcome) -> Response:
    """The outcome with Flagsmith's texts. It has the receiver's status, but not its body, which may be confidential."""
    if outcome.delivered:
        return Response({"detail": "Webhook test successful", "status": outcome.status})
    if outcome.status is not None:
        text = f"Webhook returned HTTP {outcome.status}."
        failure = {"detail": "Webhook returned error status", "body": text, "status": outcome.status}
        return Response(failure, status=400)
    return Response({"detail": "Could not connect to webhook URL", "body": outcome.error}, status=400)
