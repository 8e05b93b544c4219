"""Signing up, in and out, and one's own account.

These views take their transactions in users/services.py instead of around the whole request; it says why.
"""

from typing import Any, cast

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from users import services
from users.models import FFAdminUser
from users.serializers import (
    CurrentUserSerializer,
    DeleteUserSerializer,
    LoginSerializer,
    RegistrationSerializer,
    TokenSerializer,
)
from users.throttles import LoginThrottle


@extend_schema(tags=["users"])
class RegistrationView(generics.CreateAPIView):
    """Anybody makes an account, unless the installation says ``ALLOW_REGISTRATION_WITHOUT_INVITE = False``."""

    rules = "registration"
    authentication_classes = []
    serializer_class = RegistrationSerializer

    def perform_create(self, serializer: BaseSerializer) -> None:
        if not settings.ALLOW_REGISTRATION_WITHOUT_INVITE:
            raise PermissionDenied("User registration without an invite is disabled for this installation.")
        serializer.save()


@extend_schema(tags=["users"])
class LoginView(generics.GenericAPIView):
    """E-mail and password for a token."""

    rules = "login"
    authentication_classes = []
    throttle_classes = [LoginThrottle]
    serializer_class = LoginSerializer

    @extend_schema(responses={200: TokenSerializer})
    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        token = services.sign_in(request._request, serializer.validated_data["user"])
        return Response(TokenSerializer(token).data)


class SignOut(APIView):
    """The token that the caller came with is worth nothing any more."""

    def sign_out(self, request: Request) -> Response:
        services.sign_out(request._request, cast(FFAdminUser, request.user))
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["users"], request=None, responses={204: None})
class LogoutView(SignOut):
    rules = "logout"

    def post(self, request: Request) -> Response:
        return self.sign_out(request)


@extend_schema(tags=["users"], responses={204: None})
class TokenView(SignOut):
    rules = "token"

    def delete(self, request: Request) -> Response:
        return self.sign_out(request)


@extend_schema(tags=["users"])
class CurrentUserView(generics.RetrieveUpdateDestroyAPIView):
    """The account of the user who calls."""

    rules = "me"
    serializer_class = CurrentUserSerializer

    def get_object(self) -> FFAdminUser:
        return cast(FFAdminUser, self.request.user)

    @extend_schema(request=DeleteUserSerializer, responses={204: None})
    def delete(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = DeleteUserSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        services.delete_user(self.get_object(), with_orphans=serializer.validated_data["delete_orphan_organisations"])
        return Response(status=status.HTTP_204_NO_CONTENT)
