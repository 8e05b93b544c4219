"""``organisations/{organisation}/groups/``."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from core import conflicts
from core.pagination import FixedPages
from organisations.access import is_organisation_admin, manageable_groups, own_groups
from organisations.groups import services
from organisations.groups.serializers import (
    EXTERNAL_ID_TAKEN,
    GroupSerializer,
    GroupSummarySerializer,
    UsersOfGroupSerializer,
)
from organisations.scope import OrganisationScopedView
from users.models import FFAdminUser, UserPermissionGroup, UserPermissionGroupMembership

USERS = extend_schema(request=UsersOfGroupSerializer, responses=GroupSerializer)


@extend_schema(tags=["groups"])
class GroupViewSet(OrganisationScopedView, ModelViewSet[UserPermissionGroup]):
    """Groups of the organisation's users. Groups that the caller may not manage are not found."""

    rules = "organisations/groups"
    queryset = UserPermissionGroup.objects.none()
    serializer_class = GroupSerializer
    pagination_class = FixedPages

    def get_queryset(self) -> QuerySet[UserPermissionGroup]:
        groups = manageable_groups(self.actor, self.organisation)
        return groups.prefetch_related("memberships__ffadminuser")

    def perform_create(self, serializer: BaseSerializer) -> None:
        with conflicts.as_validation_error(EXTERNAL_ID_TAKEN, "external_id"):
            serializer.save(organisation=self.organisation)

    def perform_update(self, serializer: BaseSerializer) -> None:
        with conflicts.as_validation_error(EXTERNAL_ID_TAKEN, "external_id"):
            serializer.save()

    @USERS
    @action(detail=True, methods=["POST"], url_path="add-users")
    def add_users(self, request: Request, organisation_pk: str, pk: str) -> Response:
        group = self.get_object()
        user_ids = self._user_ids(request)
        if non_members := services.non_members(self.organisation, user_ids):
            listed = ", ".join(map(str, non_members))
            raise ValidationError({"user_ids": [f"Users {listed} do not exist in this organisation"]})
        services.add_users([group], user_ids)
        return self._response(group)

    @USERS
    @action(detail=True, methods=["POST"], url_path="remove-users")
    def remove_users(self, request: Request, organisation_pk: str, pk: str) -> Response:
        group = self.get_object()
        services.remove_users(group, self._user_ids(request))
        return self._response(group)

    @extend_schema(responses=GroupSummarySerializer(many=True))
    @action(detail=False, pagination_class=None)
    def summaries(self, request: Request, organisation_pk: str) -> Response:
        """All groups of the organisation. All members may see them."""
        groups = UserPermissionGroup.objects.filter(organisation=self.organisation)
        return Response(GroupSummarySerializer(groups, many=True).data)

    @extend_schema(responses=GroupSummarySerializer(many=True))
    @action(detail=False, url_path="my-groups", serializer_class=GroupSummarySerializer)
    def my_groups(self, request: Request, organisation_pk: str) -> Response:
        """The groups that the caller belongs to. With MANAGE_USER_GROUPS, all groups."""
        page = self.paginate_queryset(own_groups(self.actor, self.organisation))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def _user_ids(self, request: Request) -> list[int]:
        serializer = UsersOfGroupSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user_ids: list[int] = serializer.validated_data["user_ids"]
        is_own = isinstance(self.actor, FFAdminUser) and self.actor.pk in user_ids
        if is_own and not is_organisation_admin(self.actor, self.organisation):
            raise PermissionDenied("Only admins of the organisation may add or remove themselves.")
        return user_ids

    def _response(self, group: UserPermissionGroup) -> Response:
        """The changed group. Not from ``get_queryset``: the caller may have removed themselves as the group's admin."""
        groups = UserPermissionGroup.objects.prefetch_related("memberships__ffadminuser")
        return Response(GroupSerializer(groups.get(pk=group.pk)).data)


@extend_schema(tags=["groups"], request=None, responses={200: None})
@extend_schema_view(post=extend_schema(operation_id="organisations_groups_make_admin"))
class MakeGroupAdminView(OrganisationScopedView):
    """Make a member of the group an admin of it."""

    rules = "organisations/groups/admins"
    group_admin = True

    def post(self, request: Request, **kwargs: Any) -> Response:
        memberships = UserPermissionGroupMembership.objects.filter(userpermissiongroup__organisation=self.organisation)
        membership = get_object_or_404(
            memberships, userpermissiongroup=kwargs["group_pk"], ffadminuser=kwargs["user_pk"]
        )
        membership.group_admin = self.group_admin
        membership.save(update_fields=["group_admin"])
        return Response()


@extend_schema_view(post=extend_schema(operation_id="organisations_groups_remove_admin"))
class RemoveGroupAdminView(MakeGroupAdminView):
    """Make an admin of the group an ordinary member."""

    group_admin = False
