"""Registration, log-in, log-out and the caller's own account.

These views open transactions in users/services.py instead of around the whole request. The reason is given there.
"""

from typing import Any, cast

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from users import second_factor, services
from users.models import FFAdminUser
from users.serializers import (
    CurrentUserSerializer,
    DeleteUserSerializer,
    EphemeralTokenSerializer,
    LoginSerializer,
    RegistrationSerializer,
    TokenSerializer,
)
from users.throttles import LoginThrottle, PasswordResetThrottle, RegistrationThrottle


@extend_schema(tags=["users"])
class RegistrationView(generics.CreateAPIView):
    """Create an account. If ``ALLOW_REGISTRATION_WITHOUT_INVITE`` is false, this requires an invitation."""

    rules = "registration"
    authentication_classes = []
    throttle_classes = [RegistrationThrottle]
    serializer_class = RegistrationSerializer


@extend_schema(tags=["users"])
class LoginView(generics.GenericAPIView):
    """Return the user's token. A user with a second factor gets an ephemeral token for ``auth/login/code/`` instead."""

    rules = "login"
    authentication_classes = []
    throttle_classes = [LoginThrottle]
    serializer_class = LoginSerializer

    @extend_schema(
        responses=PolymorphicProxySerializer(
            component_name="LoginResponse",
            serializers=[TokenSerializer, EphemeralTokenSerializer],
            resource_type_field_name=None,
        )
    )
    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = serializer.validated_data["user"]
        if second_factor.active_device(user):
            ephemeral = {"ephemeral_token": second_factor.ephemeral_token(user), "method": second_factor.METHOD}
            return Response(EphemeralTokenSerializer(ephemeral).data)
        return Response(TokenSerializer(services.sign_in(request._request, user)).data)


class SignOutView(APIView):
    """The base of views that delete the caller's token."""

    def sign_out(self, request: Request) -> Response:
        services.sign_out(request._request, cast(FFAdminUser, request.user))
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["users"], request=None, responses={204: None})
class LogoutView(SignOutView):
    rules = "logout"

    def post(self, request: Request) -> Response:
        return self.sign_out(request)


@extend_schema(tags=["users"], responses={204: None})
class TokenView(SignOutView):
    rules = "token"

    def delete(self, request: Request) -> Response:
        return self.sign_out(request)


@extend_schema(tags=["users"])
class CurrentUserView(generics.RetrieveUpdateDestroyAPIView):
    """The caller's account."""

    rules = "me"
    serializer_class = CurrentUserSerializer

    def get_throttles(self) -> list[BaseThrottle]:
        """A deletion is throttled, because it checks a password: the owner of a stolen token could guess it here."""
        return [PasswordResetThrottle()] if self.request.method == "DELETE" else []

    def get_object(self) -> FFAdminUser:
        return cast(FFAdminUser, self.request.user)

    @extend_schema(request=DeleteUserSerializer, responses={204: None})
    def delete(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = DeleteUserSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        services.delete_user(self.get_object(), with_orphans=serializer.validated_data["delete_orphan_organisations"])
        return Response(status=status.HTTP_204_NO_CONTENT)
