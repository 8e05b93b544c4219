"""``organisations/`` in the Admin API, with members and permissions."""

from typing import Any

from django.db.models import CharField, Count, F, OuterRef, QuerySet, Subquery, Value
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet, ModelViewSet

from api_keys.actor import APIKeyUser
from core.pagination import FixedPages
from core.paths import UUID
from organisations.access import Actor, is_organisation_admin, visible_organisations
from organisations.models import (
    Organisation,
    OrganisationRole,
    Subscription,
    UserOrganisation,
    UserOrganisationPermission,
    UserPermissionGroupOrganisationPermission,
)
from organisations.permissions import catalogue
from organisations.permissions.views import GroupPermissionsViewSet, ScopePermissionsMixin, UserPermissionsViewSet
from organisations.scope import OrganisationScopedView
from organisations.serializers import (
    GroupOrganisationPermissionFilterSerializer,
    GroupOrganisationPermissionSerializer,
    ListedGroupOrganisationPermissionSerializer,
    ListedUserOrganisationPermissionSerializer,
    MemberFilterSerializer,
    MemberIDSerializer,
    MemberSerializer,
    MembershipSerializer,
    OrganisationSerializer,
    SubscriptionMetadataSerializer,
    UserOrganisationPermissionFilterSerializer,
    UserOrganisationPermissionSerializer,
)
from organisations.services import delete_organisations, remove_members
from users.models import FFAdminUser


def organisations_of(actor: Actor) -> QuerySet[Organisation]:
    """The actor's organisations, each with its number of members (``num_seats``) and the actor's ``role``."""
    role: Any
    if isinstance(actor, APIKeyUser):
        role = Value(OrganisationRole.ADMIN.value, CharField())
    else:
        role = Subquery(UserOrganisation.objects.filter(organisation=OuterRef("pk"), user=actor).values("role")[:1])
    visible = visible_organisations(actor).order_by().values("pk")
    organisations = Organisation.objects.filter(pk__in=visible).select_related("subscription")
    return organisations.annotate(num_seats=Count("userorganisation"), role=role).order_by("pk")


@extend_schema(tags=["organisations"])
class OrganisationViewSet(ScopePermissionsMixin, OrganisationScopedView, ModelViewSet[Organisation]):
    """The organisations that the caller belongs to."""

    rules = "organisations"
    scope = "organisation"
    available_permissions = catalogue.ORGANISATION
    queryset = Organisation.objects.none()
    serializer_class = OrganisationSerializer
    pagination_class = FixedPages
    lookup_url_kwarg = "organisation_pk"

    def get_queryset(self) -> QuerySet[Organisation]:
        return organisations_of(self.actor)

    def perform_destroy(self, instance: Organisation) -> None:
        delete_organisations([instance])

    @extend_schema(operation_id="organisations_retrieve_by_uuid")
    @action(detail=False, url_path=rf"get-by-uuid/(?P<uuid>{UUID})")
    def get_by_uuid(self, request: Request, uuid: str) -> Response:
        return Response(self.get_serializer(get_object_or_404(self.get_queryset(), uuid=uuid)).data)

    @extend_schema(request=MemberIDSerializer(many=True), responses=MemberIDSerializer(many=True))
    @action(detail=True, methods=["POST"], url_path="remove-users", pagination_class=None)
    def remove_users(self, request: Request, organisation_pk: str) -> Response:
        serializer = MemberIDSerializer(data=request.data, many=True, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        remove_members(self.organisation, serializer.validated_data)
        return Response([{"id": pk} for pk in serializer.validated_data])

    @extend_schema(responses=SubscriptionMetadataSerializer)
    @action(detail=True, url_path="get-subscription-metadata")
    def get_subscription_metadata(self, request: Request, organisation_pk: str) -> Response:
        """The limits of the organisation's plan."""
        subscription = Subscription.objects.filter(organisation=self.organisation).first()
        return Response(SubscriptionMetadataSerializer(subscription or Subscription(plan=None)).data)

    def is_admin(self) -> bool:
        return is_organisation_admin(self.actor, self.organisation)


@extend_schema(tags=["organisations"])
@extend_schema_view(list=extend_schema(parameters=[MemberFilterSerializer]))
class OrganisationUserViewSet(OrganisationScopedView, ListModelMixin, GenericViewSet[FFAdminUser]):
    """The members of an organisation."""

    rules = "organisations/users"
    queryset = FFAdminUser.objects.none()
    serializer_class = MemberSerializer
    pagination_class = None

    def get_queryset(self) -> QuerySet[FFAdminUser]:
        query = MemberFilterSerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        members = FFAdminUser.objects.filter(userorganisation__organisation=self.organisation)
        if query.validated_data["exclude_current"] and isinstance(self.actor, FFAdminUser):
            members = members.exclude(pk=self.actor.pk)
        return members.annotate(role=F("userorganisation__role"))

    @extend_schema(request=MembershipSerializer, responses=MembershipSerializer)
    @action(detail=True, methods=["POST"], url_path="update-role")
    def update_role(self, request: Request, organisation_pk: str, pk: str) -> Response:
        memberships = UserOrganisation.objects.filter(organisation=self.organisation).select_related("user")
        membership = get_object_or_404(memberships.select_related("organisation"), user=pk)
        serializer = MembershipSerializer(membership, data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response(serializer.data)


class FilteredPermissionsMixin(OrganisationScopedView):
    """Permissions in an organisation, filtered by the user or group of the query."""

    filter_serializer_class: type[BaseSerializer[Any]]

    def get_queryset(self) -> QuerySet[Any]:
        query = self.filter_serializer_class(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        return super().get_queryset().filter(**query.validated_data)


@extend_schema(tags=["organisations"])
@extend_schema_view(list=extend_schema(parameters=[UserOrganisationPermissionFilterSerializer]))
class UserOrganisationPermissionViewSet(FilteredPermissionsMixin, UserPermissionsViewSet):
    rules = "organisations/user-permissions"
    scope = "organisation"
    queryset = UserOrganisationPermission.objects.all()
    serializer_class = UserOrganisationPermissionSerializer
    list_serializer_class = ListedUserOrganisationPermissionSerializer
    filter_serializer_class = UserOrganisationPermissionFilterSerializer


@extend_schema(tags=["organisations"])
@extend_schema_view(list=extend_schema(parameters=[GroupOrganisationPermissionFilterSerializer]))
class GroupOrganisationPermissionViewSet(FilteredPermissionsMixin, GroupPermissionsViewSet):
    rules = "organisations/user-group-permissions"
    scope = "organisation"
    queryset = UserPermissionGroupOrganisationPermission.objects.all()
    serializer_class = GroupOrganisationPermissionSerializer
    list_serializer_class = ListedGroupOrganisationPermissionSerializer
    filter_serializer_class = GroupOrganisationPermissionFilterSerializer
