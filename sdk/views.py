"""Views of the SDK API. They authenticate and validate; ``answers`` answers.

A request is not one transaction: traits are stored first, then the response is read in its own snapshot.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import AuthenticationFailed, ParseError, PermissionDenied, Throttled, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from app_analytics import meter
from app_analytics.models import Resource
from core.items import Items
from core.parsers import StrictJSONParser
from environment_documents import isolation
from environment_documents.cache import CompiledDocument
from environments.identities.traits.models import TraitValue
from environments.models import Environment
from realtime.reads.read import DOCUMENT, FLAGS, IDENTITIES, Read
from sdk import answers, identify, schema
from sdk.answers import VersionedRead
from sdk.authentication import (
    UNKNOWN,
    EnvironmentKeyAuthentication,
    SDKClient,
    ServerKeyAuthentication,
    ServingStopped,
)
from sdk.serializers import (
    BulkTraitSerializer,
    IdentitiesQuerySerializer,
    IdentitiesSerializer,
    IdentityTraitSerializer,
)
from sdk.throttles import ClientStorageThrottle

STORAGE_LIMIT_REACHED = "Client keys of this environment have stored too much lately."

# Valid evaluation counts of one request. SDKs send the counts of some seconds.
EVALUATION_COUNTS = range(1, 2**31)

FEATURE = OpenApiParameter("feature", str, description="A feature's name: the response is only this flag.")


@contextmanager
def _deleted_environment_is_403() -> Iterator[None]:
    try:
        yield
    except Environment.DoesNotExist:
        # Deleted after the key was read.
        raise AuthenticationFailed(UNKNOWN) from None


class JSONOnly(DefaultContentNegotiation):
    """Content negotiation that always chooses JSON, and ignores ``Accept``."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class SDKView(APIView):
    """A view for clients with an environment key."""

    content_negotiation_class = JSONOnly
    parser_classes = [StrictJSONParser]

    rules: str
    authentication_classes = [EnvironmentKeyAuthentication]

    resource: Resource | None = None
    """Requests with a valid key are counted as this resource, with any status. None: not counted."""

    def perform_authentication(self, request: Request) -> None:
        try:
            super().perform_authentication(request)
        except ServingStopped as stopped:
            self._count(stopped.environment_id)
            raise
        self._count(self.client.environment_id)

    def _count(self, environment_id: int) -> None:
        if self.resource is not None:
            meter.count(self.resource, environment_id, self.request.headers)

    @property
    def client(self) -> SDKClient:
        client: Any = self.request.user
        assert isinstance(client, SDKClient)
        return client

    @cached_property
    def storage_throttle(self) -> ClientStorageThrottle:
        return ClientStorageThrottle()

    def may_store(self, number: int) -> bool:
        """Return whether this number of bytes may be stored. Server-side keys are secret and have no limit."""
        unlimited = number == 0 or self.client.server_side
        return unlimited or self.storage_throttle.allow_bytes(self.client.environment_id, number)

    def answer(self, read: Read) -> HttpResponse:
        """The response to a read, from the client's version of the environment or a newer one."""
        with _deleted_environment_is_403():
            asked = VersionedRead(self.client.version, self.client.organisation_id, read)
            return answers.get(asked).http_response(self.request)


class FlagsView(SDKView):
    rules = "sdk/flags"
    resource = Resource.FLAGS

    @extend_schema(parameters=[FEATURE], responses={200: schema.FLAGS})
    def get(self, request: Request) -> HttpResponse:
        """The environment's flags."""
        return self.answer(Read(FLAGS, self.client.server_side, request.query_params.get("feature")))


class IdentitiesView(SDKView):
    rules = "sdk/identities"
    resource = Resource.IDENTITIES

    @extend_schema(parameters=[IdentitiesQuerySerializer, FEATURE], responses={200: schema.IDENTITY_OR_FLAG})
    def get(self, request: Request) -> HttpResponse:
        """An identity's flags and traits. A new identity is stored, unless it is transient."""
        if not request.query_params.get("identifier"):
            raise ParseError("Missing identifier")
        query = IdentitiesQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        identity = identify.identify(
            self.client.environment_id,
            query.validated_data["identifier"],
            [],
            transient=query.validated_data["transient"],
            persist_traits=self.client.persist_trait_data,
            may_store=self.may_store,
        )
        feature = request.query_params.get("feature") or None
        return self.answer(Read(IDENTITIES, self.client.server_side, feature, identity))

    @extend_schema(request=IdentitiesSerializer, responses={200: schema.IDENTITY})
    def post(self, request: Request) -> HttpResponse:
        """Set an identity's traits, and return its flags and traits."""
        body = IdentitiesSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        identifier, transient = body.validated_data.get("identifier"), body.validated_data["transient"]
        traits = (body.validated_data.get("traits") or []) if self.client.may_set_traits else []
        if identifier:
            identity = identify.identify(
                self.client.environment_id,
                identifier,
                traits,
                transient=bool(transient),
                persist_traits=self.client.persist_trait_data,
                may_store=self.may_store,
            )
        else:
            identity = identify.anonymous(traits)
        return self.answer(Read(IDENTITIES, self.client.server_side, None, identity))


class TraitsView(SDKView):
    rules = "sdk/traits"
    resource = Resource.TRAITS

    @extend_schema(request=IdentityTraitSerializer, responses=IdentityTraitSerializer)
    def post(self, request: Request) -> Response:
        """Set one trait of an identity."""
        self.check_traits_are_stored()
        trait = IdentityTraitSerializer(data=request.data)
        trait.is_valid(raise_exception=True)
        if not self.client.may_set_traits:
            raise ValidationError({"non_field_errors": ["Setting traits not allowed with client key."]})
        self.store([trait.validated_data])
        return Response(trait.data)

    def check_traits_are_stored(self) -> None:
        if not self.client.persist_trait_data:
            raise PermissionDenied("Organisation is not authorised to store traits.")

    def store(self, traits: list[dict[str, Any]]) -> None:
        changes: dict[str, dict[str, TraitValue]] = defaultdict(dict)
        for trait in traits:
            changes[trait["identity"]["identifier"]][trait["trait_key"]] = trait["trait_value"]
        stored = identify.read(self.client.environment_id, changes)
        number = sum(stored[identifier].storage_bytes(values) for identifier, values in changes.items())
        if not self.may_store(number):
            raise Throttled(self.storage_throttle.wait(), STORAGE_LIMIT_REACHED)
        identify.store(self.client.environment_id, changes)


class BulkTraitsView(TraitsView):
    rules = "sdk/traits/bulk"

    @extend_schema(request=BulkTraitSerializer(many=True), responses=BulkTraitSerializer(many=True))
    def put(self, request: Request) -> Response:
        """Set traits of many identities, all or none. A null value deletes the trait."""
        self.check_traits_are_stored()
        if not self.client.may_set_traits:
            raise ParseError("Unable to set traits with client key.")
        traits = Items(child=BulkTraitSerializer(), data=request.data, max_length=settings.MAX_TRAITS_PER_REQUEST)
        traits.is_valid(raise_exception=True)
        self.store(traits.validated_data)
        return Response([trait for trait in traits.data if trait["trait_value"] is not None])

    # Some SDKs use POST.
    post = put


class DocumentView(SDKView):
    rules = "sdk/environment-document"
    resource = Resource.ENVIRONMENT_DOCUMENT
    authentication_classes = [ServerKeyAuthentication]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> HttpResponse:
        """All that an SDK needs to evaluate the environment's flags itself. Only for server-side keys."""
        return self.answer(Read(DOCUMENT, True))


class FlagAnalyticsView(SDKView):
    rules = "sdk/analytics/flags"

    @extend_schema(request=OpenApiTypes.OBJECT, responses={200: None})
    def post(self, request: Request) -> HttpResponse:
        """Store how often an application has evaluated each flag: ``{"name": count}``.

        As in Flagsmith, unknown flags and invalid counts are ignored.
        """
        if not isinstance(request.data, dict):
            raise ValidationError({"non_field_errors": ["Expected a JSON object."]})
        version, work = self.client.version, partial(_feature_ids, names=frozenset(request.data))
        with _deleted_environment_is_403():
            feature_ids = isolation.run(version, self.client.organisation_id, work).value
        counts = {
            feature_ids[name]: count
            for name, count in request.data.items()
            if name in feature_ids and type(count) is int and count in EVALUATION_COUNTS
        }
        meter.count_evaluations(self.client.environment_id, counts, request.headers)
        # Not empty: Kotlin's SDK treats an empty body as a failure.
        return HttpResponse(b"null", content_type="application/json")


def _feature_ids(compiled: CompiledDocument, names: frozenset[str]) -> dict[str, int]:
    """The primary keys of the project's features with these names, by name."""
    return {feature.name: feature.id for feature in compiled.document.features if feature.name in names}
