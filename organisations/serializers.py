from typing import Any

from rest_framework import serializers

from core.fields import ConstantBoolean, ConstantNumber, ConstantText
from core.paths import MAX_ID
from organisations import plans
from organisations.models import (
    Organisation,
    OrganisationRole,
    Subscription,
    UserOrganisation,
    UserOrganisationPermission,
    UserPermissionGroupOrganisationPermission,
)
from organisations.permissions import catalogue
from organisations.permissions.serializers import (
    GroupPermissionSerializer,
    ListedGroupMixin,
    ListedUserMixin,
    PermissionKeysField,
    UserPermissionSerializer,
)
from organisations.services import create_organisation
from users.models import FFAdminUser
from users.serializers import UserSummarySerializer


class SubscriptionSerializer(serializers.ModelSerializer):
    has_active_billing_periods = ConstantBoolean(False)
    deleted_at = ConstantText(None)

    class Meta:
        model = Subscription
        fields = (
            "id",
            "has_active_billing_periods",
            "deleted_at",
            "uuid",
            "subscription_id",
            "subscription_date",
            "plan",
            "max_seats",
            "max_api_calls",
            "cancellation_date",
            "customer_id",
            "billing_status",
            "payment_method",
            "notes",
        )
        read_only_fields = fields


class SubscriptionMetadataSerializer(serializers.ModelSerializer):
    """The plan's limits; null: no limit. No plan limits the number of projects or the visible history."""

    max_seats = serializers.SerializerMethodField()
    max_projects = ConstantNumber(None)
    payment_source = ConstantText(None)
    chargebee_email = ConstantText(None)
    feature_history_visibility_days = ConstantNumber(None)
    audit_log_visibility_days = ConstantNumber(None)

    class Meta:
        model = Subscription
        fields = (
            "max_seats",
            "max_api_calls",
            "max_projects",
            "payment_source",
            "chargebee_email",
            "feature_history_visibility_days",
            "audit_log_visibility_days",
        )
        read_only_fields = fields

    def get_max_seats(self, subscription: Subscription) -> int | None:
        return plans.seats(subscription)


class OrganisationSerializer(serializers.ModelSerializer):
    """An organisation with the annotations of ``organisations.views.organisations_of``.

    The defaults are for an organisation that was just created: it has one member, and the role is null, as in
    Flagsmith.
    """

    num_seats = serializers.IntegerField(read_only=True, default=1)
    subscription = SubscriptionSerializer(read_only=True, allow_null=True)
    role = serializers.ChoiceField(OrganisationRole.choices, read_only=True, default=None, allow_null=True)

    class Meta:
        model = Organisation
        fields = (
            "id",
            "uuid",
            "name",
            "created_date",
            "webhook_notification_email",
            "num_seats",
            "subscription",
            "role",
            "persist_trait_data",
            "block_access_to_admin",
            "restrict_project_create_to_admin",
            "force_2fa",
        )
        read_only_fields = ("persist_trait_data", "block_access_to_admin")

    def create(self, validated_data: dict[str, Any]) -> Organisation:
        return create_organisation(self.context["request"].user, **validated_data)


class MemberSerializer(UserSummarySerializer):
    """A member of an organisation, with the role."""

    role = serializers.ChoiceField(OrganisationRole.choices, read_only=True)

    class Meta:
        model = FFAdminUser
        fields = (*UserSummarySerializer.Meta.fields, "role", "date_joined")
        read_only_fields = fields


class OrganisationNameSerializer(serializers.ModelSerializer):
    class Meta:
        model = Organisation
        fields = ("id", "name")
        read_only_fields = fields


class MembershipSerializer(serializers.ModelSerializer):
    """A membership with its role, user and organisation. Flagsmith documents the organisation and returns the user, so
    this returns both."""

    organisation = OrganisationNameSerializer(read_only=True)

    class Meta:
        model = UserOrganisation
        fields = ("role", "organisation")

    def to_representation(self, instance: UserOrganisation) -> dict[str, Any]:
        user = UserSummarySerializer(instance.user).data
        return {**user, "date_joined": instance.user.date_joined, **super().to_representation(instance)}


class MemberIDListSerializer(serializers.ListSerializer):
    """Ids of members, looked up in one query."""

    def to_internal_value(self, data: Any) -> list[int]:
        ids = [item["id"] for item in super().to_internal_value(data)]
        members = UserOrganisation.objects.filter(organisation=self.context["view"].organisation, user__in=ids)
        member_ids = set(members.values_list("user_id", flat=True))
        errors = [{} if pk in member_ids else {"id": [f"User with id {pk} does not exist"]} for pk in ids]
        if any(errors):
            raise serializers.ValidationError(errors)
        return ids


class MemberIDSerializer(serializers.Serializer):
    id = serializers.IntegerField(min_value=0, max_value=MAX_ID)

    class Meta:
        list_serializer_class = MemberIDListSerializer


class MemberFilterSerializer(serializers.Serializer):
    exclude_current = serializers.BooleanField(default=False)


class UserOrganisationPermissionFilterSerializer(serializers.Serializer):
    user = serializers.IntegerField(required=False, min_value=0, max_value=MAX_ID)


class UserOrganisationPermissionSerializer(UserPermissionSerializer):
    permissions = PermissionKeysField(catalogue.ORGANISATION, required=False)

    class Meta:
        model = UserOrganisationPermission
        fields = ("id", "user", "permissions")


class ListedUserOrganisationPermissionSerializer(ListedUserMixin, UserOrganisationPermissionSerializer):
    pass


class GroupOrganisationPermissionFilterSerializer(serializers.Serializer):
    group = serializers.IntegerField(required=False, min_value=0, max_value=MAX_ID)


class GroupOrganisationPermissionSerializer(GroupPermissionSerializer):
    permissions = PermissionKeysField(catalogue.ORGANISATION, required=False)

    class Meta:
        model = UserPermissionGroupOrganisationPermission
        fields = ("id", "group", "permissions")


class ListedGroupOrganisationPermissionSerializer(ListedGroupMixin, GroupOrganisationPermissionSerializer):
    pass
