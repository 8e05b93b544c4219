"""``organisations/{organisation}/master-api-keys/``."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from api_keys.models import MasterAPIKey
from core.pagination import FixedPages
from organisations.master_api_keys.serializers import MasterAPIKeySerializer
from organisations.scope import OrganisationScopedView
from users.authentication import UserTokenAuthentication


@extend_schema(tags=["master API keys"])
class MasterAPIKeyViewSet(OrganisationScopedView, ModelViewSet[MasterAPIKey]):
    """An organisation's master API keys. Only users may call this: a key cannot create or revoke keys."""

    rules = "organisations/master-api-keys"
    authentication_classes = [UserTokenAuthentication]
    queryset = MasterAPIKey.objects.none()
    serializer_class = MasterAPIKeySerializer
    pagination_class = FixedPages
    lookup_field = "prefix"
    lookup_value_regex = "[0-9A-Za-z]{1,8}"

    def get_queryset(self) -> QuerySet[MasterAPIKey]:
        return self.organisation.master_api_keys.filter(revoked=False)

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(organisation=self.organisation, created_by=self.request.user)
