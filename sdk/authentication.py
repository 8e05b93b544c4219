"""SDKs say which environment they belong to by one of its keys, in ``X-Environment-Key``."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import router
from django.db.models import Model, QuerySet
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from environments.keys import SERVER_PREFIX
from environments.models import Environment, EnvironmentAPIKey
from evaluation.document import Version
from realtime import prepared

HEADER = "X-Environment-Key"

MISSING = "Invalid or missing Environment key"
UNKNOWN = "Invalid or missing Environment Key"
STOPPED = "Organisation is disabled from serving flags."

# What a request needs to know of its environment.
FIELDS = (
    "pk",
    "revision",
    "updated_at",
    "project__organisation_id",
    "allow_client_traits",
    "project__organisation__persist_trait_data",
    "project__organisation__stop_serving_flags",
)


class ServingStopped(AuthenticationFailed):
    """The key is good, but its organisation is not served."""

    def __init__(self, environment_id: int) -> None:
        super().__init__(STOPPED)
        self.environment_id = environment_id


@dataclass(frozen=True)
class SDKClient:
    """The caller of the SDK API, and the environment that it is of, as the environment is at the moment."""

    version: Version
    organisation_id: int
    server: bool
    """It has a server-side key."""

    allow_client_traits: bool
    persist_trait_data: bool
    stopped: bool
    """Its organisation is not served."""

    @property
    def environment_id(self) -> int:
        return self.version.environment_id

    @property
    def may_set_traits(self) -> bool:
        return self.server or self.allow_client_traits


class EnvironmentKeyAuthentication(BaseAuthentication):
    """A client or a server-side key. One query, which reads the environment's version along.

    Answers what it refuses with 403: SDKs know no 401.
    """

    prefix = ""

    def authenticate(self, request: Request) -> tuple[SDKClient, str]:
        key = request.headers.get(HEADER, "").strip()
        if not key or not key.startswith(self.prefix):
            raise AuthenticationFailed(MISSING)
        client = clients([key]).get(key)
        if client is None:
            raise AuthenticationFailed(UNKNOWN)
        if client.stopped:
            raise ServingStopped(client.environment_id)
        return client, key


class ServerKeyAuthentication(EnvironmentKeyAuthentication):
    """A server-side key, a secret."""

    prefix = SERVER_PREFIX


def clients(keys: Iterable[str]) -> dict[str, SDKClient]:
    """Whom these keys are of, in one query for each of the two kinds. A key that is nobody's is left out."""
    # PostgreSQL takes no text with a null, not even to compare with.
    possible = [key for key in keys if "\0" not in key]
    secrets = [key for key in possible if key.startswith(SERVER_PREFIX)]
    public = [key for key in possible if not key.startswith(SERVER_PREFIX)]
    now = timezone.now()
    held = (row for row in _rows(_secrets, EnvironmentAPIKey, secrets) if row[0] is None or row[0] > now)
    return {
        **dict(_clients(_rows(_public, Environment, public), server=False)),
        **dict(_clients((row[1:] for row in held), server=True)),
    }


def _public(keys: list[str]) -> "QuerySet[Environment, tuple[Any, ...]]":
    return Environment.objects.filter(api_key__in=keys).values_list("api_key", *FIELDS)


def _secrets(keys: list[str]) -> "QuerySet[EnvironmentAPIKey, tuple[Any, ...]]":
    fields = (f"environment__{field}" for field in FIELDS)
    return EnvironmentAPIKey.objects.filter(key__in=keys, active=True).values_list("expires_at", "key", *fields)


def _rows(query: Callable[[list[str]], Any], model: type[Model], keys: list[str]) -> Iterable[Sequence[Any]]:
    """One key is what most reads ask for."""
    if len(keys) == 1:
        return prepared.rows(query, router.db_for_read(model), lambda key: query([key]), keys[0])
    return query(keys) if keys else ()


def _clients(rows: Iterable[Sequence[Any]], server: bool) -> Iterator[tuple[str, SDKClient]]:
    for key, pk, revision, updated_at, organisation_id, *rest in rows:
        yield key, SDKClient(Version(pk, revision, updated_at), organisation_id, server, *rest)
