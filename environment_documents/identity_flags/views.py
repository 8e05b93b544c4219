"""``environments/{api_key}/identities/{id}/featurestates/``."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from environment_documents.identity_flags.flags import flags_of
from environment_documents.identity_flags.serializers import IdentityFlagSerializer, SourceIdentitySerializer
from environments.identities.models import Identity
from environments.identities.scope import IdentityScopedView
from features.feature_states.views import LIVE_STATES, EnvironmentFeatureStateViewSet
from features.identity_overrides import clone_overrides
from features.models import FeatureState


class IdentityFeatureStateViewSet(IdentityScopedView, EnvironmentFeatureStateViewSet):
    """An identity's overrides, in the format of the environment's defaults."""

    rules = "identity-featurestates"

    def get_queryset(self) -> QuerySet[FeatureState]:
        return LIVE_STATES.filter(identity=self.identity).select_related("identity")

    def perform_create(self, serializer: BaseSerializer[FeatureState]) -> None:
        serializer.save(identity=self.identity)

    def perform_destroy(self, instance: FeatureState) -> None:
        instance.delete()

    @extend_schema(responses=IdentityFlagSerializer(many=True), filters=False)
    @action(detail=False, pagination_class=None)
    def all(self, request: Request, **kwargs: Any) -> Response:
        """Each of the identity's flags, and the override that determined it, if any."""
        return self._flags()

    @extend_schema(request=SourceIdentitySerializer, responses={200: IdentityFlagSerializer(many=True)}, filters=False)
    @action(detail=False, methods=["POST"], url_path="clone-from-given-identity", pagination_class=None)
    def clone_from_given_identity(self, request: Request, **kwargs: Any) -> Response:
        """Replace the identity's overrides by those of another identity of the environment."""
        body = SourceIdentitySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        identities = Identity.objects.filter(environment=self.environment)
        source = get_object_or_404(identities, pk=body.validated_data["source_identity_id"])
        clone_overrides(source, self.identity)
        return self._flags()

    def _flags(self) -> Response:
        flags: Any = flags_of(self.identity)
        return Response(IdentityFlagSerializer(flags, many=True).data)
