"""Views of permissions in an organisation, a project or an environment: of users, of groups, and of the caller."""

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
    describe,
)
from organisations.scope import OrganisationScopedView


class PermissionsViewSet(OrganisationScopedView, ModelViewSet[Any]):
    """Permissions of users or groups in a scope: an organisation, a project or an environment.

    The views for projects and environments also inherit from the scoped view of these.
    """

    scope: str
    """The name of the view's property, and of the model's field, with the scope."""
    holder: str
    """The name of the model's field with the user or group."""
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
    """The actions ``permissions/`` and ``my-permissions/`` of organisations, projects and environments."""

    scope: str
    """The name of the view's property with the scope."""
    available_permissions: dict[str, str]
    """A part of ``organisations.permissions.catalogue``."""

    def is_admin(self) -> bool:
        """True if the caller is an admin of the scope."""
        raise NotImplementedError

    @extend_schema(responses=PermissionSerializer(many=True))
    @action(detail=False, pagination_class=None)
    def permissions(self, request: Request) -> Response:
        """All permissions of this kind of scope."""
        return Response(PermissionSerializer(describe(self.available_permissions), many=True).data)

    @extend_schema(responses=OwnPermissionsSerializer)
    @action(detail=True, url_path="my-permissions")
    def my_permissions(self, request: Request, **kwargs: str) -> Response:
        """The caller's own permissions. With a master API key the response is a 400."""
        if isinstance(self.actor, APIKeyUser):
            raise ValidationError({"detail": "This endpoint can only be used with a user and not Master API Key"})
        keys = sorted(permissions_in(self.actor, getattr(self, self.scope)))
        own = {"permissions": keys, "admin": self.is_admin(), "tag_based_permissions": []}
        return Response(OwnPermissionsSerializer(own).data)
