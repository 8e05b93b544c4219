"""The SDK API. Answers are bytes of JSON from ``responses``; these views say who may ask, and read what is asked.

None of them is one transaction as a whole: what is served is read in a snapshot of its own, after what was sent has
been stored.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, TypeVar

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
from environments.identities.traits.models import TraitValue
from environments.models import Environment
from evaluation import isolation
from evaluation.isolation import Work
from sdk import answers, identify, responses, schema
from sdk.answers import Wanted
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
from sdk.storage import ClientStorage

STORED_TOO_MUCH = "Client keys of this environment have stored too much lately."

# An application sends what it counted in some seconds.
EVALUATIONS = range(1, 2**31)

FEATURE = OpenApiParameter("feature", str, description="A feature's name: the answer is this flag alone.")


T = TypeVar("T")


@contextmanager
def _environment() -> Iterator[None]:
    try:
        yield
    except Environment.DoesNotExist:
        # Deleted a moment ago.
        raise AuthenticationFailed(UNKNOWN) from None


class JSONForAll(DefaultContentNegotiation):
    """There is nothing but JSON, whatever a client would rather have."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class SDKView(APIView):
    """A view for the holder of an environment's key."""

    content_negotiation_class = JSONForAll
    parser_classes = [StrictJSONParser]

    rules: str
    authentication_classes = [EnvironmentKeyAuthentication]

    resource: Resource | None = None
    """What a request is counted as, once its key has turned out to be good, whatever the answer."""

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
    def storage(self) -> ClientStorage:
        return ClientStorage()

    def may_store(self, number: int) -> bool:
        """Whether the caller may have so many bytes stored. A server-side key is a secret, and has no limit."""
        free = number == 0 or self.client.server
        return free or self.storage.allow_bytes(self.client.environment_id, number)

    def evaluate(self, work: Work[T]) -> T:
        """The work's result for the environment, at the version that the key's query read or a newer one."""
        with _environment():
            return isolation.run(self.client.version, self.client.organisation_id, work).value


class FlagsView(SDKView):
    rules = "sdk/flags"
    resource = Resource.FLAGS

    @extend_schema(parameters=[FEATURE], responses={200: schema.FLAGS})
    def get(self, request: Request) -> HttpResponse:
        """The environment's flags."""
        name = request.query_params.get("feature")
        if name is not None:
            return self.evaluate(partial(responses.flag, name=name, server=self.client.server)).response(request)
        with _environment():
            return answers.answer(Wanted.flags(self.client)).response(request)


class IdentitiesView(SDKView):
    rules = "sdk/identities"
    resource = Resource.IDENTITIES

    @extend_schema(parameters=[IdentitiesQuerySerializer, FEATURE], responses={200: schema.IDENTITY_OR_FLAG})
    def get(self, request: Request) -> HttpResponse:
        """An identity's flags and traits. One that is new is stored, unless it is transient."""
        if not request.query_params.get("identifier"):
            raise ParseError("Missing identifier")
        query = IdentitiesQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        identified = identify.identify(
            self.client.environment_id,
            query.validated_data["identifier"],
            [],
            transient=query.validated_data["transient"],
            persist_traits=self.client.persist_trait_data,
            may_store=self.may_store,
        )
        name, server = request.query_params.get("feature"), self.client.server
        if name:
            work = partial(responses.identity_flag, identified=identified, name=name, server=server)
        else:
            work = partial(responses.identity, identified=identified, server=server)
        return self.evaluate(work).response(request)

    @extend_schema(request=IdentitiesSerializer, responses={200: schema.IDENTITY})
    def post(self, request: Request) -> HttpResponse:
        """Set an identity's traits; its flags and traits are the answer."""
        body = IdentitiesSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        identifier, transient = body.validated_data.get("identifier"), body.validated_data["transient"]
        traits = (body.validated_data.get("traits") or []) if self.client.may_set_traits else []
        if identifier:
            identified = identify.identify(
                self.client.environment_id,
                identifier,
                traits,
                transient=bool(transient),
                persist_traits=self.client.persist_trait_data,
                may_store=self.may_store,
            )
        else:
            identified = identify.anonymous(traits)
        work = partial(responses.identity, identified=identified, server=self.client.server)
        return self.evaluate(work).response(request)


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
        present = identify.read(self.client.environment_id, changes)
        number = sum(present[identifier].bytes_of(values) for identifier, values in changes.items())
        if not self.may_store(number):
            raise Throttled(self.storage.wait(), STORED_TOO_MUCH)
        identify.store(self.client.environment_id, changes)


class BulkTraitsView(TraitsView):
    rules = "sdk/traits/bulk"

    @extend_schema(request=BulkTraitSerializer(many=True), responses=BulkTraitSerializer(many=True))
    def put(self, request: Request) -> Response:
        """Set traits of many identities; null takes one away. Either all are stored or none."""
        self.check_traits_are_stored()
        if not self.client.may_set_traits:
            raise ParseError("Unable to set traits with client key.")
        traits = Items(child=BulkTraitSerializer(), data=request.data, max_length=settings.MAX_TRAITS_PER_REQUEST)
        traits.is_valid(raise_exception=True)
        self.store(traits.validated_data)
        return Response([trait for trait in traits.data if trait["trait_value"] is not None])

    # Some SDKs send it so.
    post = put


class DocumentView(SDKView):
    rules = "sdk/environment-document"
    resource = Resource.ENVIRONMENT_DOCUMENT
    authentication_classes = [ServerKeyAuthentication]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> HttpResponse:
        """All that an SDK needs to evaluate the environment's flags itself. Only with a server-side key."""
        with _environment():
            return answers.answer(Wanted.document(self.client)).response(request)


class FlagAnalyticsView(SDKView):
    rules = "sdk/analytics/flags"

    @extend_schema(request=OpenApiTypes.OBJECT, responses={200: None})
    def post(self, request: Request) -> HttpResponse:
        """How often an application has asked its SDK for each flag: ``{"name": count}``.

        As in Flagsmith, flags that do not exist and counts that make no sense are passed over.
        """
        if not isinstance(request.data, dict):
            raise ValidationError({"non_field_errors": ["Expected a JSON object."]})
        numbers = self.evaluate(partial(responses.features, names=frozenset(request.data)))
        told = {
            numbers[name]: count
            for name, count in request.data.items()
            if name in numbers and type(count) is int and count in EVALUATIONS
        }
        meter.count_evaluations(self.client.environment_id, told, request.headers)
        # A body, although there is nothing to say: Kotlin's SDK takes an empty one for a failure.
        return HttpResponse(b"null", content_type="application/json")
