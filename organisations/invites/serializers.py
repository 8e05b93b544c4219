"""Invitations and invite links as the Admin API speaks of them."""

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

# Each is a mail that the request waits for.
MOST_INVITES = 100
MOST_GROUPS = 100


class GroupIDsField(serializers.ListField):
    """Groups by their primary keys. Whoever has the field looks them up, with one query for all."""

    child = serializers.IntegerField(min_value=0, max_value=MAX_ID)

    def to_representation(self, data: Any) -> list[int]:
        return [group.pk for group in data.all()]


class InviteSerializer(serializers.ModelSerializer[Invite]):
    """A new invitation. Its address and its groups are for ``refusals`` to look up, with others at once."""

    permission_groups = GroupIDsField(required=False, allow_null=True, max_length=MOST_GROUPS)

    class Meta:
        model = Invite
        fields = ("id", "email", "role", "date_created", "permission_groups")
        validators: tuple[Any, ...] = ()


class SingleInviteSerializer(InviteSerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        (refusal,) = refusals(self.context["view"].organisation, [attrs])
        if refusal:
            raise ValidationError(refusal)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Invite:
        view = self.context["view"]
        return services.invite(view.organisation, view.actor, [validated_data])[0]


class ListedInviteSerializer(serializers.ModelSerializer[Invite]):
    """An invitation that nobody has accepted yet. The secret that it is accepted by is nobody else's business."""

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
    """An invitation that was just made, with others."""

    invited_by = InviterSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Invite
        fields = ("id", "email", "role", "date_created", "invited_by", "permission_groups")
        read_only_fields = fields


class InvitesSerializer(serializers.Serializer[Any]):
    """Several invitations: ``invites`` with roles and groups, or ``emails`` alone, whose role is USER."""

    invites: Any = serializers.ListSerializer(child=InviteSerializer(), required=False, max_length=MOST_INVITES)
    emails = serializers.ListField(
        child=serializers.EmailField(max_length=254), required=False, max_length=MOST_INVITES
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        invites, plain = attrs.get("invites", []), _plain(attrs)
        found = refusals(self.context["view"].organisation, [*invites, *plain])
        if any(found[: len(invites)]):
            raise ValidationError({"invites": found[: len(invites)]})
        if doubles := [message for each in found[len(invites) :] for message in each.get("email", ())]:
            raise ValidationError({"emails": doubles})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> list[Invite]:
        view = self.context["view"]
        return services.invite(
            view.organisation, view.actor, [*validated_data.get("invites", []), *_plain(validated_data)]
        )


class InviteLinkSerializer(serializers.ModelSerializer[InviteLink]):
    class Meta:
        model = InviteLink
        fields = ("id", "hash", "date_created", "role", "expires_at")
        read_only_fields = ("hash",)


def refusals(organisation: Organisation, wanted: Sequence[Mapping[str, Any]]) -> list[dict[str, list[str]]]:
    """What is wrong with each of these: somebody who is invited already or here twice, or groups that do not exist."""
    times = Counter(each["email"].lower() for each in wanted)
    taken = services.taken(organisation, times) | {address for address, number in times.items() if number > 1}
    groups = {pk for each in wanted for pk in each.get("permission_groups") or ()}
    known = set(organisation.permission_groups.filter(pk__in=groups).values_list("pk", flat=True)) if groups else set()
    found = []
    for each in wanted:
        refusal = {"email": [services.exists(each["email"])]} if each["email"].lower() in taken else {}
        if unknown := [pk for pk in each.get("permission_groups") or () if pk not in known]:
            refusal["permission_groups"] = [f'Invalid pk "{pk}" - object does not exist.' for pk in unknown]
        found.append(refusal)
    return found


def _plain(attrs: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"email": email, "role": OrganisationRole.USER} for email in attrs.get("emails", ())]
