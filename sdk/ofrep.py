"""Views of the OpenFeature Remote Evaluation Protocol (``realtime.ofrep``, docs/ofrep.md).

Nothing is stored. Stored traits are not read either: an answer depends on the request and on the environment document
only, as with local evaluation, so its ``ETag`` is known before the evaluation.
"""

from functools import partial

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from app_analytics.models import Resource
from core.errors import Failure
from environment_documents.cache import CompiledDocument
from environment_documents.document import Version
from environment_documents.evaluation_process import Busy
from environment_documents.isolation import TookTooLong, Work
from environment_documents.worker import evaluation_time_limit
from realtime import ofrep
from realtime.answers import Answer
from realtime.ofrep import EvaluationRequest, State
from realtime.types import epoch_seconds
from sdk import schema
from sdk.authentication import EnvironmentKeyAuthentication, SDKClient, ServingStopped
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
        known = request.headers.get("If-None-Match", "")
        evaluation = EvaluationRequest(str(request.auth), ofrep.flag_of_path(request.path), request.body, known)
        answer = unchanged(evaluation, self.client) or self.evaluate(work(evaluation, self.client))
        return answer.http_response(request)

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


def unchanged(request: EvaluationRequest, client: SDKClient) -> Answer | None:
    """304 if the client has the answer already."""
    answer = ofrep.unchanged(request, _state(client.version, client.server_side, client.streaming_enabled))
    return None if answer is None else answer._replace(updated_at=client.version.updated_at)


def work(request: EvaluationRequest, client: SDKClient) -> Work[Answer]:
    """The computation of the answer."""
    return partial(_answer, request=request, server_side=client.server_side, streaming_enabled=client.streaming_enabled)


def _answer(
    compiled: CompiledDocument, request: EvaluationRequest, server_side: bool, streaming_enabled: bool
) -> Answer:
    with evaluation_time_limit():
        answer = ofrep.answer(request, _state(compiled.version, server_side, streaming_enabled), compiled.ofrep)
        return answer._replace(updated_at=compiled.version.updated_at)


def _state(version: Version, server_side: bool, streaming_enabled: bool) -> State:
    revision = f"{version.environment_id} {version.revision} {epoch_seconds(version.updated_at)}"
    return State(revision, server_side, streaming_enabled)


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
