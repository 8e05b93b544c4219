"""Views that change a password: with the current one, or with a link sent by mail.

As in users/views.py, a request is not in a transaction, because passwords are hashed outside of transactions.
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
    """Change the caller's password. The caller's token stays valid."""

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
    """Send a link for setting a new password. The response is the same if no user has the address."""

    rules = "reset-password"
    authentication_classes = []
    throttle_classes = [PasswordResetThrottle]
    serializer_class = ResetPasswordSerializer

    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        address = serializer.validated_data["email"].lower()
        user = FFAdminUser.objects.filter(email=address, is_active=True).first()
        throttle = ResetMailThrottle()
        if user is not None and throttle.allow(throttle.key_of(user.pk)):
            services.send_reset(user)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["users"], responses={204: None})
class ResetPasswordConfirmView(generics.GenericAPIView):
    """Set a new password with such a link. The user's token is deleted. A second factor is still required at log-in."""

    rules = "reset-password/confirm"
    authentication_classes = []
    throttle_classes = [PasswordResetThrottle]
    serializer_class = ResetPasswordConfirmSerializer

    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user, password = serializer.validated_data["user"], serializer.validated_data["new_password"]
        services.change_password(user, password, sign_out=True)
        # The owner of the mail address has signed in, so failed log-ins of others must not lock the account.
        failures = FailedLogins()
        failures.reset(failures.key_of(user.email))
        return Response(status=status.HTTP_204_NO_CONTENT)
