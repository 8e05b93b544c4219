"""Serializers of requests that set or reset a password."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as WeakPassword
from rest_framework import serializers

from users import services
from users.models import FFAdminUser


class NewPassword(serializers.Serializer):
    """A new password, given twice. Subclasses define its owner."""

    new_password = serializers.CharField(trim_whitespace=False, max_length=4096)
    re_new_password = serializers.CharField(trim_whitespace=False)

    def owner(self, attrs: dict[str, Any]) -> FFAdminUser:
        """The user whose password is set. Raises ValidationError if the request does not authenticate one."""
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
    """The ``uid`` and ``token`` of the link. All invalid pairs get the same message: a ``uid`` can be guessed, and the
    response must not reveal which ones exist."""

    uid = serializers.CharField()
    token = serializers.CharField()

    def owner(self, attrs: dict[str, Any]) -> FFAdminUser:
        user = services.user_to_reset(attrs["uid"], attrs["token"])
        if user is None:
            raise serializers.ValidationError({"token": ["Invalid token for given user."]})
        return user
