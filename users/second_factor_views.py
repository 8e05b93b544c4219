"""The second factor: at log-in, and setting it up. Paths, answers and messages are Flagsmith's."""

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

ERROR = inline_serializer("SecondFactorRefusal", {"error": serializers.CharField()})


class CodeLoginSerializer(serializers.Serializer):
    ephemeral_token = serializers.CharField(max_length=1000)
    code = serializers.CharField(max_length=100)


class CodeSerializer(serializers.Serializer):
    code = serializers.CharField(max_length=100)


class EnrolmentSerializer(serializers.Serializer):
    """For an authenticator app: a link to scan, and the secret in it to type."""

    qr_link = serializers.CharField(source="link")
    secret = serializers.CharField()


class BackupCodesSerializer(serializers.Serializer):
    """Each signs in once, without the app. They are not shown again: only their hashes are stored."""

    backup_codes = serializers.ListField(child=serializers.CharField())


class MethodSerializer(serializers.Serializer):
    name = serializers.CharField()
    is_primary = serializers.BooleanField()


def refusal(error: SecondFactorError, status_code: int = status.HTTP_400_BAD_REQUEST) -> Response:
    return Response({"error": str(error)}, status=status_code)


@extend_schema(tags=["second factor"])
class CodeLoginView(generics.GenericAPIView):
    """The token of a log-in by password, and a code, for the user's token."""

    rules = "login/code"
    authentication_classes = []
    throttle_classes = [CodeThrottle]
    serializer_class = CodeLoginSerializer

    @extend_schema(responses={200: TokenSerializer, 401: ERROR})
    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        shown = serializer.validated_data
        try:
            user = second_factor.user_with_code(shown["ephemeral_token"], shown["code"])
        except SecondFactorError as error:
            return refusal(error, status.HTTP_401_UNAUTHORIZED)
        return Response(TokenSerializer(services.sign_in(request._request, user)).data)


class OwnSecondFactor(APIView):
    """Of the user who calls."""

    @property
    def person(self) -> FFAdminUser:
        return cast(FFAdminUser, self.request.user)


@extend_schema(tags=["second factor"], request=None)
class ActivationView(OwnSecondFactor):
    """A new secret for an authenticator app. It counts once a code of it has been shown to ``confirm/``."""

    rules = "second-factor/activate"

    @extend_schema(responses={200: EnrolmentSerializer, 400: ERROR})
    def post(self, request: Request) -> Response:
        try:
            return Response(EnrolmentSerializer(second_factor.begin(self.person)).data)
        except SecondFactorError as error:
            return refusal(error)


@extend_schema(tags=["second factor"])
class ConfirmationView(generics.GenericAPIView, OwnSecondFactor):
    """From now on the user's log-ins need a code. The answer has their backup codes."""

    rules = "second-factor/confirm"
    serializer_class = CodeSerializer

    @extend_schema(responses=BackupCodesSerializer)
    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            codes = second_factor.confirm(self.person, serializer.validated_data["code"])
        except SecondFactorError as error:
            raise ValidationError({"code": [str(error)]}) from error
        return Response(BackupCodesSerializer({"backup_codes": codes}).data)


@extend_schema(tags=["second factor"], request=None)
class DeactivationView(OwnSecondFactor):
    """From now on the password alone signs the user in."""

    rules = "second-factor/deactivate"

    @extend_schema(responses={204: None, 400: ERROR})
    def post(self, request: Request) -> Response:
        try:
            second_factor.end(self.person)
        except SecondFactorError as error:
            return refusal(error)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["second factor"])
class ActiveMethodsView(OwnSecondFactor):
    """Which second factors the user has: none, or the one of the app."""

    rules = "second-factor/methods"

    @extend_schema(responses=MethodSerializer(many=True))
    def get(self, request: Request) -> Response:
        methods = (
            [{"name": second_factor.METHOD, "is_primary": True}] if second_factor.active_device(self.person) else []
        )
        return Response(MethodSerializer(methods, many=True).data)
