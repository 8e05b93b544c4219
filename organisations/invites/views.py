"""``organisations/{organisation}/invite/``, ``invites/`` and ``invite-links/``, and ``users/join/``."""

from typing import Any, cast

from django.conf import settings
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.mixins import CreateModelMixin, DestroyModelMixin, ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.throttling import BaseThrottle
from rest_framework.viewsets import GenericViewSet

from core.pagination import FixedPages
from organisations.invites import mail, services
from organisations.invites.models import Invite, InviteLink
from organisations.invites.serializers import (
    InviteLinkSerializer,
    InvitesSerializer,
    ListedInviteSerializer,
    SentInviteSerializer,
    SingleInviteSerializer,
)
from organisations.invites.throttles import InviteThrottle
from organisations.models import Organisation, UserOrganisation
from organisations.plans import require_seat
from organisations.scope import OrganisationScopedView
from organisations.serializers import OrganisationSerializer
from organisations.views import organisations_of
from users.models import FFAdminUser


@extend_schema(tags=["invites"])
class InvitesView(OrganisationScopedView):
    """Create several invitations: all of them, or none."""

    rules = "organisations/invite"
    serializer_class = InvitesSerializer
    throttle_classes = [InviteThrottle]

    @extend_schema(responses={201: SentInviteSerializer(many=True)})
    def post(self, request: Request, organisation_pk: str) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        ids = [invite.pk for invite in serializer.save()]
        invites = Invite.objects.filter(pk__in=ids).select_related("invited_by").prefetch_related("permission_groups")
        return Response(SentInviteSerializer(invites, many=True).data, status=201)


@extend_schema(tags=["invites"])
class InviteViewSet(
    OrganisationScopedView,
    ListModelMixin,
    CreateModelMixin,
    RetrieveModelMixin,
    DestroyModelMixin,
    GenericViewSet[Invite],
):
    """Pending invitations by mail."""

    rules = "organisations/invites"
    queryset = Invite.objects.none()
    pagination_class = FixedPages

    def get_throttles(self) -> list[BaseThrottle]:
        return [InviteThrottle()] if self.action in ("create", "resend") else []

    def get_queryset(self) -> QuerySet[Invite]:
        membership = UserOrganisation.objects.filter(user=OuterRef("pk"), organisation=self.organisation)
        inviters = FFAdminUser.objects.annotate(role=Subquery(membership.values("role")[:1]))
        invites = self.organisation.invites.select_related("organisation")
        return invites.prefetch_related(Prefetch("invited_by", queryset=inviters), "permission_groups")

    def get_serializer_class(self) -> type[BaseSerializer]:
        return SingleInviteSerializer if self.action == "create" else ListedInviteSerializer

    def perform_create(self, serializer: BaseSerializer) -> None:
        require_seat(self.organisation)
        serializer.save()

    @extend_schema(request=None, responses={200: None})
    @action(detail=True, methods=["POST"])
    def resend(self, request: Request, organisation_pk: str, pk: str) -> Response:
        mail.send(self.get_object())
        return Response()


@extend_schema(tags=["invites"])
class InviteLinkViewSet(
    OrganisationScopedView, ListModelMixin, CreateModelMixin, DestroyModelMixin, GenericViewSet[InviteLink]
):
    """Links with which all who have them may join."""

    rules = "organisations/invite-links"
    queryset = InviteLink.objects.none()
    serializer_class = InviteLinkSerializer
    pagination_class = None

    def get_queryset(self) -> QuerySet[InviteLink]:
        return self.organisation.invite_links.all()

    def perform_create(self, serializer: BaseSerializer) -> None:
        if settings.DISABLE_INVITE_LINKS:
            raise ValidationError({"detail": services.LINKS_DISABLED})
        serializer.save(organisation=self.organisation)


class JoinView(OrganisationScopedView):
    """The base of views with which a user joins an organisation by an invitation's secret."""

    serializer_class = OrganisationSerializer

    def join(self, user: FFAdminUser, secret: str) -> Organisation:
        raise NotImplementedError

    def post(self, request: Request, **kwargs: Any) -> Response:
        organisation = self.join(cast(FFAdminUser, request.user), kwargs["hash"])
        return Response(self.get_serializer(organisations_of(self.actor).get(pk=organisation.pk)).data)


@extend_schema(tags=["invites"])
@extend_schema_view(
    post=extend_schema(operation_id="users_join", request=None, responses={200: OrganisationSerializer})
)
class JoinByMailView(JoinView):
    """Join by an invitation by mail. It can be used once, by the user with the invited address."""

    rules = "join"

    def join(self, user: FFAdminUser, secret: str) -> Organisation:
        return services.join_by_mail(user, secret)


@extend_schema(tags=["invites"])
@extend_schema_view(
    post=extend_schema(operation_id="users_join_link", request=None, responses={200: OrganisationSerializer})
)
class JoinByLinkView(JoinView):
    """Join by a link that has not expired."""

    rules = "join/link"

    def join(self, user: FFAdminUser, secret: str) -> Organisation:
        return services.join_by_link(user, secret)
