"""Serializers of invitations and invite links for the Admin API."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.paths import MAX_ID
from organisations.invites import services
from organisations.invites.models import Invite, InviteLink
from organisations.models import Organisation, OrganisationRole
from organisations.serializers import MemberSerializer
from users.models import FFAdminUser

# Each invitation is one mail.
MAX_INVITES = 100
MAX_GROUPS = 100


class GroupIDsField(serializers.ListField):
    """The primary keys of groups. The field's serializer looks them up, with one query for all."""

    child = serializers.IntegerField(min_value=0, max_value=MAX_ID)

    def to_representation(self, data: Any) -> list[int]:
        return [group.pk for group in data.all()]


class InviteSerializer(serializers.ModelSerializer[Invite]):
    """A new invitation. ``find_errors`` checks the address and the groups, for several invitations in one query."""

    permission_groups = GroupIDsField(required=False, allow_null=True, max_length=MAX_GROUPS)

    class Meta:
        model = Invite
        fields = ("id", "email", "role", "date_created", "permission_groups")
        validators: tuple[Any, ...] = ()


class SingleInviteSerializer(InviteSerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        (errors,) = find_errors(self.context["view"].organisation, [attrs])
        if errors:
            raise ValidationError(errors)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Invite:
        view = self.context["view"]
        return services.invite(view.organisation, view.actor, [validated_data])[0]


class ListedInviteSerializer(serializers.ModelSerializer[Invite]):
    """A pending invitation, without its secret."""

    invited_by = MemberSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Invite
        fields = ("id", "email", "date_created", "invited_by", "permission_groups")
        read_only_fields = fields


class InviterSerializer(serializers.ModelSerializer[FFAdminUser]):
    class Meta:
        model = FFAdminUser
        fields = ("id", "email", "first_name", "last_name")
        read_only_fields = fields


class SentInviteSerializer(serializers.ModelSerializer[Invite]):
    """An invitation in the response to a request that created several."""

    invited_by = InviterSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Invite
        fields = ("id", "email", "role", "date_created", "invited_by", "permission_groups")
        read_only_fields = fields


class InvitesSerializer(serializers.Serializer[Any]):
    """Several invitations: ``invites`` with roles and groups, and ``emails`` with the role USER."""

    invites: Any = serializers.ListSerializer(child=InviteSerializer(), required=False, max_length=MAX_INVITES)
    emails = serializers.ListField(child=serializers.EmailField(max_length=254), required=False, max_length=MAX_INVITES)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        invites, by_email = attrs.get("invites", []), _invites_by_email(attrs)
        errors = find_errors(self.context["view"].organisation, [*invites, *by_email])
        of_invites, of_emails = errors[: len(invites)], errors[len(invites) :]
        if any(of_invites):
            raise ValidationError({"invites": of_invites})
        if messages := [message for fields in of_emails for message in fields.get("email", ())]:
            raise ValidationError({"emails": messages})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> list[Invite]:
        view = self.context["view"]
        invites = [*validated_data.get("invites", []), *_invites_by_email(validated_data)]
        return services.invite(view.organisation, view.actor, invites)


class InviteLinkSerializer(serializers.ModelSerializer[InviteLink]):
    class Meta:
        model = InviteLink
        fields = ("id", "hash", "date_created", "role", "expires_at")
        read_only_fields = ("hash",)


def find_errors(organisation: Organisation, invites: Sequence[Mapping[str, Any]]) -> list[dict[str, list[str]]]:
    """The errors of each invitation by field: addresses that are already invited or given twice, and unknown groups."""
    counts = Counter(invite["email"].lower() for invite in invites)
    duplicates = {address for address, count in counts.items() if count > 1}
    invited = services.invited_addresses(organisation, counts) | duplicates
    group_ids = {pk for invite in invites for pk in invite.get("permission_groups") or ()}
    groups = organisation.permission_groups.filter(pk__in=group_ids)
    known_ids = set(groups.values_list("pk", flat=True)) if group_ids else set()
    found = []
    for invite in invites:
        address = invite["email"]
        errors = {"email": [services.ALREADY_INVITED % address]} if address.lower() in invited else {}
        if unknown_ids := [pk for pk in invite.get("permission_groups") or () if pk not in known_ids]:
            errors["permission_groups"] = [f'Invalid pk "{pk}" - object does not exist.' for pk in unknown_ids]
        found.append(errors)
    return found


def _invites_by_email(attrs: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"email": email, "role": OrganisationRole.USER} for email in attrs.get("emails", ())]
