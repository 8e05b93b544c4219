"""The document, evaluations and checks of segments, below ``environments/{environment}/`` of the Admin API."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from core import actor
from core.paths import ID
from environment_documents.document import Version
from environment_documents.identity_flags.flags import explained_flags
from environment_documents.identity_flags.serializers import ExplainedFlagSerializer
from environment_documents.membership import verdict
from environments.access import has_environment_permission
from environments.models import Environment
from environments.scope import EnvironmentsView
from realtime.reads.read import DOCUMENT, Read
from sdk import answers
from sdk.answers import VersionedRead
from sdk.identify import RequestIdentity, candidate, unstored
from sdk.serializers import EvaluateSerializer, VerdictSerializer
from segments.models import Segment

NOT_FOUND = "No Environment matches the given query."
NO_SEGMENT = "No Segment matches the given query."


@extend_schema(tags=["environments"])
class EnvironmentDocumentViewSet(EnvironmentsView, GenericViewSet[Environment]):
    """The environment document for users of the Admin API."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True)
    def document(self, request: Request, environment_api_key: str) -> HttpResponse:
        """The environment document, as SDKs get it with a server-side key."""
        read = VersionedRead(Version.of(self.environment), self.project.organisation_id, Read(DOCUMENT, True))
        try:
            return answers.get(read).http_response(request)
        except Environment.DoesNotExist:  # Deleted after the permission check.
            raise NotFound(NOT_FOUND) from None


@extend_schema(tags=["environments"])
class EvaluationViewSet(EnvironmentsView, GenericViewSet[Environment]):
    """Evaluation of an environment's flags for users of the Admin API. Nothing is stored."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # Without a transaction, so that an expensive environment is evaluated in the evaluation process.
        with actor.request():
            return APIView.dispatch(self, request, *args, **kwargs)

    @extend_schema(request=EvaluateSerializer, responses=ExplainedFlagSerializer(many=True), filters=False)
    @action(detail=True, methods=["POST"])
    def evaluate(self, request: Request, environment_api_key: str) -> Response:
        """The flags of an identity or of a set of traits, each with the rule that gave it.

        The stored traits of the identity are used if the user has VIEW_IDENTITIES.
        """
        identity = self._identity(request, unstored)
        try:
            flags: Any = explained_flags(self.environment.pk, identity)
        except Environment.DoesNotExist:  # Deleted after the permission check.
            raise NotFound(NOT_FOUND) from None
        return Response(ExplainedFlagSerializer(flags, many=True).data)

    @extend_schema(request=EvaluateSerializer, responses=VerdictSerializer, filters=False)
    @action(detail=True, methods=["POST"], url_path=rf"segments/(?P<segment_pk>{ID})/check")
    def check_segment(self, request: Request, environment_api_key: str, segment_pk: str) -> Response:
        """Whether an identity, or a set of traits, belongs to a segment, and which of its rules and conditions hold.

        The stored traits of the identity are used if the user has VIEW_IDENTITIES. Without an identifier, conditions
        with PERCENTAGE_SPLIT do not hold.
        """
        identity = self._identity(request, candidate)
        try:
            found = verdict(self.environment.pk, int(segment_pk), identity)
        except Environment.DoesNotExist:  # Deleted after the permission check.
            raise NotFound(NOT_FOUND) from None
        except Segment.DoesNotExist:
            raise NotFound(NO_SEGMENT) from None
        return Response(VerdictSerializer(found).data)

    def _identity(self, request: Request, find: Callable[..., RequestIdentity]) -> RequestIdentity:
        body = EvaluateSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return find(
            self.environment.pk,
            body.validated_data["identifier"],
            body.validated_data["traits"],
            with_stored_traits=has_environment_permission(self.actor, self.environment, "VIEW_IDENTITIES"),
        )
