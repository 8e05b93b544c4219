"""Permissions in an organisation, a project or an environment: of its users, of its groups, and of the caller."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from api_keys.actor import APIKeyUser
from core import conflicts
from organisations.access import permissions_in
from organisations.permissions.serializers import (
    HAS_PERMISSIONS,
    OwnPermissionsSerializer,
    PermissionSerializer,
    described,
)
from organisations.scope import OrganisationScopedView


class PermissionsViewSet(OrganisationScopedView, ModelViewSet[Any]):
    """Who may do what in the scope. ``scope`` names it: a property of the view and a field of the model.

    The view of a project's or an environment's permissions also inherits from their scoped view.
    """

    scope: str
    holder: str
    """Whose permissions these are: a field of the model."""
    list_serializer_class: type[BaseSerializer]
    pagination_class = None

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset().filter(**{self.scope: getattr(self, self.scope)})
        return rows.select_related(self.holder).prefetch_related("permissions")

    def get_serializer_class(self) -> type[BaseSerializer]:
        return self.list_serializer_class if self.action == "list" else super().get_serializer_class()

    def perform_create(self, serializer: BaseSerializer) -> None:
        self._save(serializer, **{self.scope: getattr(self, self.scope)})

    def perform_update(self, serializer: BaseSerializer) -> None:
        self._save(serializer)

    def _save(self, serializer: BaseSerializer, **fields: Any) -> None:
        with conflicts.as_validation_error(HAS_PERMISSIONS.format(holder=self.holder), self.holder):
            serializer.save(**fields)


class UserPermissionsViewSet(PermissionsViewSet):
    holder = "user"


class GroupPermissionsViewSet(PermissionsViewSet):
    holder = "group"

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        return rows.prefetch_related("group__memberships__ffadminuser") if self.action == "list" else rows


class ScopePermissionsMixin(OrganisationScopedView):
    """``permissions/`` and ``my-permissions/`` of organisations, projects or environments."""

    scope: str
    """The view's property for the scope that a path names."""
    available_permissions: dict[str, str]
    """A part of ``organisations.permissions.catalogue``."""

    def is_admin(self) -> bool:
        """True if the caller is an admin of the scope."""
        raise NotImplementedError

    @extend_schema(responses=PermissionSerializer(many=True))
    @action(detail=False, pagination_class=None)
    def permissions(self, request: Request) -> Response:
        """The permissions that there are for a scope of this kind."""
        return Response(PermissionSerializer(described(self.available_permissions), many=True).data)

    @extend_schema(responses=OwnPermissionsSerializer)
    @action(detail=True, url_path="my-permissions")
    def my_permissions(self, request: Request, **kwargs: str) -> Response:
        """The caller's own permissions. A master API key is no person: 400."""
        if isinstance(self.actor, APIKeyUser):
            raise ValidationError({"detail": "This endpoint can only be used with a user and not Master API Key"})
        keys = sorted(permissions_in(self.actor, getattr(self, self.scope)))
        own = {"permissions": keys, "admin": self.is_admin(), "tag_based_permissions": []}
        return Response(OwnPermissionsSerializer(own).data)
