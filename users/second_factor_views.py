"""Views of the second factor: log-in with a code, and setting it up. Paths, responses and texts are Flagsmith's."""

from typing import cast

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError
from rest_framework.views import APIView

from users import second_factor, services
from users.models import FFAdminUser
from users.second_factor import SecondFactorError
from users.serializers import TokenSerializer
from users.throttles import CodeThrottle

ERROR = inline_serializer("SecondFactorError", {"error": serializers.CharField()})


class CodeLoginSerializer(serializers.Serializer):
    ephemeral_token = serializers.CharField(max_length=1000)
    code = serializers.CharField(max_length=100)


class CodeSerializer(serializers.Serializer):
    code = serializers.CharField(max_length=100)


class EnrolmentSerializer(serializers.Serializer):
    """The data for an authenticator app: a link to scan, or its secret to type."""

    qr_link = serializers.CharField(source="link")
    secret = serializers.CharField()


class BackupCodesSerializer(serializers.Serializer):
    """Codes that each replace a code of the app once. They are not shown again: only their hashes are stored."""

    backup_codes = serializers.ListField(child=serializers.CharField())


class MethodSerializer(serializers.Serializer):
    name = serializers.CharField()
    is_primary = serializers.BooleanField()


def error_response(error: SecondFactorError, status_code: int = status.HTTP_400_BAD_REQUEST) -> Response:
    return Response({"error": str(error)}, status=status_code)


@extend_schema(tags=["second factor"])
class CodeLoginView(generics.GenericAPIView):
    """The second step of a log-in: returns the user's token for an ephemeral token and a code."""

    rules = "login/code"
    authentication_classes = []
    throttle_classes = [CodeThrottle]
    serializer_class = CodeLoginSerializer

    @extend_schema(responses={200: TokenSerializer, 401: ERROR})
    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        body = serializer.validated_data
        try:
            user = second_factor.user_with_code(body["ephemeral_token"], body["code"])
        except SecondFactorError as error:
            return error_response(error, status.HTTP_401_UNAUTHORIZED)
        return Response(TokenSerializer(services.sign_in(request._request, user)).data)


class OwnSecondFactorView(APIView):
    """The base of views of the caller's own second factor."""

    @property
    def user(self) -> FFAdminUser:
        return cast(FFAdminUser, self.request.user)


@extend_schema(tags=["second factor"], request=None)
class ActivationView(OwnSecondFactorView):
    """Create a secret for an authenticator app. It is active once ``confirm/`` has got a code of it."""

    rules = "second-factor/activate"

    @extend_schema(responses={200: EnrolmentSerializer, 400: ERROR})
    def post(self, request: Request) -> Response:
        try:
            return Response(EnrolmentSerializer(second_factor.begin(self.user)).data)
        except SecondFactorError as error:
            return error_response(error)


@extend_schema(tags=["second factor"])
class ConfirmationView(generics.GenericAPIView, OwnSecondFactorView):
    """Activate the second factor: the caller's log-ins require a code. The response has backup codes."""

    rules = "second-factor/confirm"
    serializer_class = CodeSerializer

    @extend_schema(responses=BackupCodesSerializer)
    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            codes = second_factor.confirm(self.user, serializer.validated_data["code"])
        except SecondFactorError as error:
            raise ValidationError({"code": [str(error)]}) from error
        return Response(BackupCodesSerializer({"backup_codes": codes}).data)


@extend_schema(tags=["second factor"], request=None)
class DeactivationView(OwnSecondFactorView):
    """Remove the second factor: the caller signs in by the password alone."""

    rules = "second-factor/deactivate"

    @extend_schema(responses={204: None, 400: ERROR})
    def post(self, request: Request) -> Response:
        try:
            second_factor.end(self.user)
        except SecondFactorError as error:
            return error_response(error)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["second factor"])
class ActiveMethodsView(OwnSecondFactorView):
    """The caller's active second factors: none, or the method "app"."""

    rules = "second-factor/methods"

    @extend_schema(responses=MethodSerializer(many=True))
    def get(self, request: Request) -> Response:
        is_active = second_factor.active_device(self.user) is not None
        methods = [{"name": second_factor.METHOD, "is_primary": True}] if is_active else []
        return Response(MethodSerializer(methods, many=True).data)
