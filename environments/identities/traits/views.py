"""``environments/{api_key}/identities/{id}/traits/``."""

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from core.locks import block_identity_writes
from core.pagination import FixedPages
from environments.identities.scope import IdentityScopedView
from environments.identities.traits.limits import require_capacity
from environments.identities.traits.models import Trait
from environments.identities.traits.serializers import TraitSerializer

ALL_MATCHING = OpenApiParameter(
    "deleteAllMatchingTraits",
    OpenApiTypes.BOOL,
    description="Also delete the traits with this key of the environment's other identities.",
)


@extend_schema_view(destroy=extend_schema(parameters=[ALL_MATCHING]))
class TraitViewSet(IdentityScopedView, ModelViewSet[Trait]):
    rules = "traits"
    pagination_class = FixedPages
    serializer_class = TraitSerializer
    queryset = Trait.objects.all()

    def get_queryset(self) -> QuerySet[Trait]:
        return Trait.objects.filter(identity=self.identity)

    def perform_create(self, serializer: BaseSerializer[Trait]) -> None:
        require_capacity(self.identity)
        serializer.save(identity=self.identity)

    def perform_destroy(self, instance: Trait) -> None:
        if self.request.query_params.get(ALL_MATCHING.name) in ("true", "True"):
            matching = Trait.objects.filter(identity__environment=self.environment, trait_key=instance.trait_key)
            block_identity_writes([self.environment.pk])
            matching.delete()
        else:
            instance.delete()
