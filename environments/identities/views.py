"""``environments/{api_key}/identities/``."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from core.pagination import LargePages
from environments.identities.models import Identity
from environments.identities.serializers import IdentityFilterSerializer, IdentitySerializer
from environments.identities.services import delete_identity
from environments.scope import EnvironmentScopedView


@extend_schema_view(list=extend_schema(parameters=[IdentityFilterSerializer]))
class IdentityViewSet(EnvironmentScopedView, ModelViewSet[Identity]):
    rules = "identities"
    # The environment document contains the identities that have overrides.
    locked = "environment"
    pagination_class = LargePages
    serializer_class = IdentitySerializer
    queryset = Identity.objects.all()

    def get_queryset(self) -> QuerySet[Identity]:
        return Identity.objects.filter(environment=self.environment)

    def filter_queryset(self, queryset: QuerySet[Identity]) -> QuerySet[Identity]:
        if self.action != "list":
            return queryset
        query = IdentityFilterSerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        q = query.validated_data.get("q", "")
        if q.startswith('"') and q.endswith('"'):
            return queryset.filter(identifier=q.replace('"', ""))
        return queryset.filter(identifier__icontains=q) if q else queryset

    def perform_create(self, serializer: BaseSerializer[Identity]) -> None:
        serializer.save(environment=self.environment)

    def perform_destroy(self, instance: Identity) -> None:
        delete_identity(instance)
