"""A new password, for who knows the old one and for who does not.

As in users/views.py, no transaction is around a request: passwords are hashed outside of any.
"""

from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response

from users import services
from users.models import FFAdminUser
from users.passwords import ResetPasswordConfirmSerializer, ResetPasswordSerializer, SetPasswordSerializer
from users.throttles import FailedLogins, PasswordResetThrottle, ResetMailThrottle


@extend_schema(tags=["users"], responses={204: None})
class SetPasswordView(generics.GenericAPIView):
    """Another password for the user who calls. Their token stays."""

    rules = "set-password"
    throttle_classes = [PasswordResetThrottle]
    serializer_class = SetPasswordSerializer

    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        services.change_password(serializer.validated_data["user"], serializer.validated_data["new_password"])
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["users"], responses={204: None})
class ResetPasswordView(generics.GenericAPIView):
    """Send a link to a new password. The answer is the same whether or not somebody has that address."""

    rules = "reset-password"
    authentication_classes = []
    throttle_classes = [PasswordResetThrottle]
    serializer_class = ResetPasswordSerializer

    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        address = serializer.validated_data["email"].lower()
        user = FFAdminUser.objects.filter(email=address, is_active=True).first()
        mails = ResetMailThrottle()
        if user is not None and mails.allow(mails.key_of(user.pk)):
            services.send_reset(user)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["users"], responses={204: None})
class ResetPasswordConfirmView(generics.GenericAPIView):
    """A new password by such a link. The user's token is destroyed; a second factor is asked for as before."""

    rules = "reset-password/confirm"
    authentication_classes = []
    throttle_classes = [PasswordResetThrottle]
    serializer_class = ResetPasswordConfirmSerializer

    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user, password = serializer.validated_data["user"], serializer.validated_data["new_password"]
        services.change_password(user, password, sign_out=True)
        # Who reads the account's mail is not the one who has guessed.
        failures = FailedLogins()
        failures.forget(failures.key_of(user.email))
        return Response(status=status.HTTP_204_NO_CONTENT)
