"""``environments/{environment}/document/`` of the Admin API."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from environments.models import Environment
from environments.scope import EnvironmentsView
from evaluation.document import Version
from sdk.response_cache import ResponseKey, get_response


@extend_schema(tags=["environments"])
class EnvironmentDocumentViewSet(EnvironmentsView, GenericViewSet[Environment]):
    """The environment document for users of the Admin API."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True)
    def document(self, request: Request, environment_api_key: str) -> HttpResponse:
        """The environment document, as SDKs get it with a server-side key."""
        key = ResponseKey(Version.of(self.environment), self.project.organisation_id, True, is_document=True)
        try:
            return get_response(key).http_response(request)
        except Environment.DoesNotExist:  # Deleted after the permission check.
            raise NotFound("No Environment matches the given query.") from None
