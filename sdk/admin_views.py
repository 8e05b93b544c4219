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
from sdk import answers
from sdk.answers import Wanted


@extend_schema(tags=["environments"])
class EnvironmentDocumentViewSet(EnvironmentsView, GenericViewSet[Environment]):
    """The environment document for the Admin API's callers."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True)
    def document(self, request: Request, environment_api_key: str) -> HttpResponse:
        """The environment document, as SDKs get it with a server-side key."""
        try:
            wanted = Wanted(Version.of(self.environment), self.project.organisation_id, True, is_document=True)
            return answers.answer(wanted).response(request)
        except Environment.DoesNotExist:  # Deleted a moment ago.
            raise NotFound("No Environment matches the given query.") from None
