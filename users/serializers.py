from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as WeakPassword
from rest_framework import serializers
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import PermissionDenied, Throttled

from core.fields import ConstantText
from core.representation import QuickSerializer
from users import second_factor
from users.hashing import TooManyPasswords
from users.models import FFAdminUser
from users.services import EMAIL_TAKEN, register, registering
from users.throttles import FailedLogins

TOO_MANY_FAILURES = "Too many failed log-ins with this address."
INVITE_NEEDED = "User registration without an invite is disabled for this installation."


class UserSummarySerializer(QuickSerializer, serializers.ModelSerializer):
    """A user as others see them: a feature's owner, the author of a change, who holds a permission."""

    class Meta:
        model = FFAdminUser
        fields = ("id", "email", "first_name", "last_name", "last_login", "uuid")
        read_only_fields = fields


class TokenSerializer(serializers.ModelSerializer):
    class Meta:
        model = Token
        fields = ("key",)
        read_only_fields = fields


class EphemeralTokenSerializer(serializers.Serializer):
    """That the password was right, and which second factor is wanted now."""

    ephemeral_token = serializers.CharField()
    method = serializers.ChoiceField(choices=[second_factor.METHOD])


class LoginSerializer(serializers.Serializer):
    """Finds out who signs in. An unknown address costs the time of a wrong password, and is answered like one: also by
    being locked after so many of them, when not even the right password is looked at."""

    email = serializers.CharField()
    password = serializers.CharField(trim_whitespace=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        request = self.context["request"]
        failures = FailedLogins()
        attempts = failures.key_of(attrs["email"])
        if not failures.allow(attempts):
            raise Throttled(wait=failures.wait(), detail=TOO_MANY_FAILURES)
        http_request = getattr(request, "_request", request)
        try:
            user = authenticate(http_request, username=attrs["email"], password=attrs["password"])
        except TooManyPasswords:
            failures.take_back()
            raise
        if user is None:
            raise serializers.ValidationError("Unable to log in with provided credentials.")
        failures.forget(attempts)
        return {"user": user}


class RegistrationSerializer(serializers.ModelSerializer):
    """A new user, answered with the token that signs them in."""

    password = serializers.CharField(write_only=True, trim_whitespace=False, max_length=4096)
    superuser = serializers.BooleanField(write_only=True, required=False)
    invite_hash = serializers.CharField(write_only=True, required=False, allow_null=True, allow_blank=True)
    key = serializers.CharField(source="auth_token.key", read_only=True)

    class Meta:
        model = FFAdminUser
        fields = (
            "first_name",
            "last_name",
            "sign_up_type",
            "email",
            "password",
            "superuser",
            "invite_hash",
            "id",
            "is_active",
            "marketing_consent_given",
            "uuid",
            "key",
        )
        read_only_fields = ("is_active", "marketing_consent_given")
        # The check for uniqueness is below: it ignores the case of letters.
        extra_kwargs: dict[str, dict[str, Any]] = {"email": {"validators": []}}

    def validate_email(self, email: str) -> str:
        return email.lower()

    def validate_superuser(self, superuser: bool) -> bool:
        if superuser and FFAdminUser.objects.exists():
            raise serializers.ValidationError("Only the first user can be made a superuser here.")
        return superuser

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Who may not register hears nothing of who has."""
        secret = attrs.pop("invite_hash", None)
        if not settings.ALLOW_REGISTRATION_WITHOUT_INVITE:
            answers = registering.send(
                sender=None, invite_hash=secret, email=attrs["email"], sign_up_type=attrs.get("sign_up_type")
            )
            if not any(is_invited for _, is_invited in answers):
                raise PermissionDenied(INVITE_NEEDED)
        if FFAdminUser.objects.filter(email=attrs["email"]).exists():
            raise serializers.ValidationError({"email": [EMAIL_TAKEN]})
        person = FFAdminUser(**{name: attrs[name] for name in ("email", "first_name", "last_name")})
        try:
            validate_password(attrs["password"], person)
        except WeakPassword as error:
            raise serializers.ValidationError({"password": error.messages}) from error
        return attrs

    def create(self, validated_data: dict[str, Any]) -> FFAdminUser:
        return register(**validated_data)


class CurrentUserSerializer(serializers.ModelSerializer):
    """The user who calls. What Flagsmith alone has (other ways to sign in, its support chat) has its default."""

    auth_type = ConstantText("EMAIL")
    pylon_email_signature = ConstantText(None)
    onboarding = ConstantText(None)

    class Meta:
        model = FFAdminUser
        fields = (
            "first_name",
            "last_name",
            "sign_up_type",
            "id",
            "email",
            "auth_type",
            "is_superuser",
            "date_joined",
            "uuid",
            "pylon_email_signature",
            "onboarding",
        )
        read_only_fields = ("email", "is_superuser", "date_joined")


class DeleteUserSerializer(serializers.Serializer):
    """What the user who wants to be deleted has to say."""

    current_password = serializers.CharField(trim_whitespace=False)
    delete_orphan_organisations = serializers.BooleanField(default=False)

    def validate_current_password(self, password: str) -> str:
        if not self.context["request"].user.check_password(password):
            raise serializers.ValidationError("Invalid password.")
        return password
