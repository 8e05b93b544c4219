"""Views of the OpenFeature Remote Evaluation Protocol (``realtime.ofrep``, docs/ofrep.md).

Nothing is stored. Stored traits are not read either: an answer depends on the request and on the environment document
only, as with local evaluation, so its ``ETag`` is known before the evaluation.
"""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from app_analytics.models import Resource
from core.errors import Failure
from environment_documents.evaluation_process import Busy
from environment_documents.isolation import TookTooLong
from realtime import ofrep
from realtime.answers import Answer
from realtime.reads.read import OFREP, Read
from sdk import schema
from sdk.authentication import EnvironmentKeyAuthentication, ServingStopped
from sdk.views import SDKView

RETRY_AFTER = "Retry-After"

IF_NONE_MATCH = OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="The newest known ETag.")

REJECTIONS = dict.fromkeys((401, 403, 429, 500), schema.OFREP_REJECTION)


class OFREPAuthentication(EnvironmentKeyAuthentication):
    """Client-side and server-side keys in OFREP's headers."""

    def key_of(self, request: Request) -> str:
        return ofrep.api_key(request.headers.get("X-API-Key", ""), request.headers.get("Authorization", ""))

    def authenticate_header(self, request: Request) -> str:
        """With this header a failed authentication is 401."""
        return "Bearer"


class OFREPView(SDKView):
    authentication_classes = [OFREPAuthentication]
    parser_classes = []
    resource = Resource.IDENTITIES

    def respond(self, request: Request) -> HttpResponse:
        client, known = self.client, request.headers.get("If-None-Match", "")
        flag = ofrep.flag_of_path(request.path)
        return self.answer(Read(OFREP, client.server_side, flag, None, request.body, known, client.streaming_enabled))

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        response = super().handle_exception(exc)
        retry = {name: value for name, value in response.headers.items() if name == RETRY_AFTER}
        failure = Failure(response.data, response.status_code, retry)
        return answer_to(exc, failure, self.kwargs.get("flag")).http_response(self.request)


class EvaluateAllView(OFREPView):
    rules = "ofrep/flags"

    @extend_schema(
        operation_id="ofrep_v1_evaluate_all_flags",
        request=schema.OFREP_REQUEST,
        parameters=[IF_NONE_MATCH],
        responses={200: schema.OFREP_EVALUATIONS, 304: None, 400: schema.OFREP_FAILURE, **REJECTIONS},
    )
    def post(self, request: Request) -> HttpResponse:
        """Evaluate all flags (OFREP)."""
        return self.respond(request)


class EvaluateOneView(OFREPView):
    rules = "ofrep/flag"

    @extend_schema(
        operation_id="ofrep_v1_evaluate_flag",
        request=schema.OFREP_REQUEST,
        responses={
            200: schema.OFREP_EVALUATION,
            400: schema.OFREP_FAILURE,
            404: schema.OFREP_FAILURE,
            **REJECTIONS,
        },
    )
    def post(self, request: Request, flag: str) -> HttpResponse:
        """Evaluate one flag (OFREP)."""
        return self.respond(request)


def answer_to(error: BaseException, failure: Failure, flag: str | None) -> Answer:
    """The answer to a request that has failed with this exception, in place of the usual response ``failure``.

    The protocol has no server error but 500. Providers wait after a 429.
    """
    details, headers = failure.data["detail"], tuple(failure.headers.items())
    match error:
        case ServingStopped():
            return ofrep.rejection(403, details)
        case AuthenticationFailed():
            return ofrep.unauthorized()
        case TookTooLong():
            return ofrep.failure(400, flag, "GENERAL", details)
        case Busy():
            return ofrep.rejection(429, details, headers)
    return ofrep.rejection(min(failure.status, 500), details, headers)
