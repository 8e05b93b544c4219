"""What is asked for, and checked, where a password is chosen."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as WeakPassword
from rest_framework import serializers

from users import services
from users.models import FFAdminUser


class NewPassword(serializers.Serializer):
    """A password, written twice. Subclasses say whose it will be."""

    new_password = serializers.CharField(trim_whitespace=False, max_length=4096)
    re_new_password = serializers.CharField(trim_whitespace=False)

    def owner(self, attrs: dict[str, Any]) -> FFAdminUser:
        """Raises ValidationError when it is nobody's."""
        raise NotImplementedError

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        user = self.owner(attrs)
        try:
            validate_password(attrs["new_password"], user)
        except WeakPassword as error:
            raise serializers.ValidationError({"new_password": error.messages}) from error
        if attrs["new_password"] != attrs["re_new_password"]:
            raise serializers.ValidationError("The two password fields didn't match.")
        return {**attrs, "user": user}


class SetPasswordSerializer(NewPassword):
    current_password = serializers.CharField(trim_whitespace=False)

    def owner(self, attrs: dict[str, Any]) -> FFAdminUser:
        user: FFAdminUser = self.context["request"].user
        if not user.check_password(attrs["current_password"]):
            raise serializers.ValidationError({"current_password": ["Invalid password."]})
        return user


class ResetPasswordSerializer(serializers.Serializer):
    email = serializers.EmailField(max_length=254)


class ResetPasswordConfirmSerializer(NewPassword):
    """``uid`` and ``token`` are those of the link. One message for all that can be wrong with them: a ``uid`` is a
    number that anybody can guess, and is not to be told from one that nobody has."""

    uid = serializers.CharField()
    token = serializers.CharField()

    def owner(self, attrs: dict[str, Any]) -> FFAdminUser:
        user = services.user_to_reset(attrs["uid"], attrs["token"])
        if user is None:
            raise serializers.ValidationError({"token": ["Invalid token for given user."]})
        return user
