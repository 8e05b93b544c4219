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
INVITE_REQUIRED = "User registration without an invite is disabled for this installation."


class UserSummarySerializer(QuickSerializer, serializers.ModelSerializer):
    """A user in other objects: a feature's owner, the author of a change, the holder of a permission."""

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
    """The response to a right password of a user with a second factor, and the required method."""

    ephemeral_token = serializers.CharField()
    method = serializers.ChoiceField(choices=[second_factor.METHOD])


class LoginSerializer(serializers.Serializer):
    """Authenticates a user. An unknown address takes the same time as a wrong password and gets the same response.
    Both are locked after too many failures. The password is not checked while an address is locked."""

    email = serializers.CharField()
    password = serializers.CharField(trim_whitespace=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        request = self.context["request"]
        failures = FailedLogins()
        key = failures.key_of(attrs["email"])
        if not failures.allow(key):
            raise Throttled(wait=failures.wait(), detail=TOO_MANY_FAILURES)
        http_request = getattr(request, "_request", request)
        try:
            user = authenticate(http_request, username=attrs["email"], password=attrs["password"])
        except TooManyPasswords:
            failures.uncount()
            raise
        if user is None:
            raise serializers.ValidationError("Unable to log in with provided credentials.")
        failures.reset(key)
        return {"user": user}


class RegistrationSerializer(serializers.ModelSerializer):
    """A new user. The response has the user's token."""

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
        # ``validate`` checks for uniqueness, without regard to case.
        extra_kwargs: dict[str, dict[str, Any]] = {"email": {"validators": []}}

    def validate_email(self, email: str) -> str:
        return email.lower()

    def validate_superuser(self, superuser: bool) -> bool:
        if superuser and FFAdminUser.objects.exists():
            raise serializers.ValidationError("Only the first user can be a superuser.")
        return superuser

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check the invitation first: without one, the response must not reveal which addresses are registered."""
        invite_hash = attrs.pop("invite_hash", None)
        if not settings.ALLOW_REGISTRATION_WITHOUT_INVITE:
            responses = registering.send(
                sender=None, invite_hash=invite_hash, email=attrs["email"], sign_up_type=attrs.get("sign_up_type")
            )
            if not any(is_invited for _, is_invited in responses):
                raise PermissionDenied(INVITE_REQUIRED)
        if FFAdminUser.objects.filter(email=attrs["email"]).exists():
            raise serializers.ValidationError({"email": [EMAIL_TAKEN]})
        user = FFAdminUser(**{name: attrs[name] for name in ("email", "first_name", "last_name")})
        try:
            validate_password(attrs["password"], user)
        except WeakPassword as error:
            raise serializers.ValidationError({"password": error.messages}) from error
        return attrs

    def create(self, validated_data: dict[str, Any]) -> FFAdminUser:
        return register(**validated_data)


class CurrentUserSerializer(serializers.ModelSerializer):
    """The caller. Fields of parts that only Flagsmith has (other sign-in methods, its support chat) have defaults."""

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
    """The body of a request that deletes the caller's account."""

    current_password = serializers.CharField(trim_whitespace=False)
    delete_orphan_organisations = serializers.BooleanField(default=False)

    def validate_current_password(self, password: str) -> str:
        if not self.context["request"].user.check_password(password):
            raise serializers.ValidationError("Invalid password.")
        return password
