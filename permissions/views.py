"""``user-permissions/`` of an organisation, a project or an environment."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from api_keys.actor import APIKeyUser
from core import conflicts
from core.views import ScopedView
from organisations.models import Organisation
from permissions.serializers import HAS_PERMISSIONS, OwnPermissionsSerializer


class UserPermissionsViewSet(ScopedView, ModelViewSet[Any]):
    """Who may do what in the scope. ``scope`` names it: a property of the view and a field of the model."""

    scope: str
    list_serializer_class: type[BaseSerializer]
    pagination_class = None

    def find_organisation(self) -> Organisation | None:
        return super().find_organisation() if self.scope == "organisation" else self.project.organisation

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset().filter(**{self.scope: getattr(self, self.scope)})
        return rows.select_related("user").prefetch_related("permissions")

    def get_serializer_class(self) -> type[BaseSerializer]:
        return self.list_serializer_class if self.action == "list" else super().get_serializer_class()

    def perform_create(self, serializer: BaseSerializer) -> None:
        with conflicts.refused(HAS_PERMISSIONS, "user"):
            serializer.save(**{self.scope: getattr(self, self.scope)})

    def perform_update(self, serializer: BaseSerializer) -> None:
        with conflicts.refused(HAS_PERMISSIONS, "user"):
            serializer.save()


def own_permissions(request: Request, admin: bool, keys: set[str]) -> Response:
    """The answer of ``my-permissions/``. A master API key is no person: 400."""
    if isinstance(request.user, APIKeyUser):
        raise ValidationError({"detail": "This endpoint can only be used with a user and not Master API Key"})
    own = {"permissions": sorted(keys), "admin": admin, "tag_based_permissions": []}
    return Response(OwnPermissionsSerializer(own).data)
