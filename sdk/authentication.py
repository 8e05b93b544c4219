"""Authentication of SDK clients by an environment's key, in the header ``X-Environment-Key``."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import router
from django.db.models import Model, QuerySet
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from environment_documents.document import Version
from environments.keys import SERVER_PREFIX
from environments.models import Environment, EnvironmentAPIKey
from realtime import hosts, prepared

HEADER = "X-Environment-Key"

MISSING = "Invalid or missing Environment key"
UNKNOWN = "Invalid or missing Environment Key"
STOPPED = "Organisation is disabled from serving flags."

# The fields of SDKClient, in the environment's row, without those of the gate.
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
    """The key is valid, but its organisation is disabled from serving flags."""

    def __init__(self, environment_id: int) -> None:
        super().__init__(STOPPED)
        self.environment_id = environment_id


@dataclass(frozen=True)
class SDKClient:
    """The caller of the SDK API, with the current settings of its environment."""

    version: Version
    organisation_id: int
    server_side: bool
    """It has a server-side key."""

    allow_client_traits: bool
    persist_trait_data: bool
    stop_serving_flags: bool

    streaming_enabled: bool
    """The gate is open: the environment's clients get events."""

    @property
    def environment_id(self) -> int:
        return self.version.environment_id

    @property
    def may_set_traits(self) -> bool:
        return self.server_side or self.allow_client_traits


class EnvironmentKeyAuthentication(BaseAuthentication):
    """Client-side and server-side keys. One query reads the key and the environment's version.

    Failures are 403, as in Flagsmith: SDKs do not expect 401.
    """

    prefix = ""

    def authenticate(self, request: Request) -> tuple[SDKClient, str]:
        key = self.key_of(request)
        if not key or not key.startswith(self.prefix):
            raise AuthenticationFailed(MISSING)
        client = clients_by_key([key]).get(key)
        if client is None:
            raise AuthenticationFailed(UNKNOWN)
        if client.stop_serving_flags:
            raise ServingStopped(client.environment_id)
        return client, key

    def key_of(self, request: Request) -> str:
        """The key that the request has. Empty: none."""
        return request.headers.get(HEADER, "").strip()


class ServerKeyAuthentication(EnvironmentKeyAuthentication):
    """Server-side keys only. They are secret."""

    prefix = SERVER_PREFIX


def clients_by_key(keys: Iterable[str]) -> dict[str, SDKClient]:
    """The clients of these keys, with one query for each kind of key. Invalid keys are left out."""
    # PostgreSQL rejects text that contains a null character.
    possible = [key for key in keys if "\0" not in key]
    server_side = [key for key in possible if key.startswith(SERVER_PREFIX)]
    client_side = [key for key in possible if not key.startswith(SERVER_PREFIX)]
    now = timezone.now()
    server_rows = _rows(_server_side_query, EnvironmentAPIKey, server_side)
    unexpired = (row[1:] for row in server_rows if row[0] is None or row[0] > now)
    return {
        **dict(_clients(_rows(_client_side_query, Environment, client_side), server_side=False)),
        **dict(_clients(unexpired, server_side=True)),
    }


def _fields() -> list[str]:
    return [*FIELDS, *hosts.gate_fields()]


def _client_side_query(*keys: str) -> "QuerySet[Environment, tuple[Any, ...]]":
    return Environment.objects.filter(api_key__in=keys).values_list("api_key", *_fields())


def _server_side_query(*keys: str) -> "QuerySet[EnvironmentAPIKey, tuple[Any, ...]]":
    fields = (f"environment__{field}" for field in _fields())
    return EnvironmentAPIKey.objects.filter(key__in=keys, active=True).values_list("expires_at", "key", *fields)


def _rows(query: Callable[..., Any], model: type[Model], keys: list[str]) -> Iterable[Sequence[Any]]:
    """Run the query. For a single key, which is the most frequent case, its SQL is compiled once."""
    if len(keys) == 1:
        return prepared.rows(query, router.db_for_read(model), keys[0])
    return query(*keys) if keys else ()


def _clients(rows: Iterable[Sequence[Any]], server_side: bool) -> Iterator[tuple[str, SDKClient]]:
    for key, pk, revision, updated_at, organisation_id, allow_traits, persist_traits, stop_serving, *gate in rows:
        version, streaming_enabled = Version(pk, revision, updated_at), hosts.is_gate_open(*gate)
        yield (
            key,
            SDKClient(
                version, organisation_id, server_side, allow_traits, persist_traits, stop_serving, streaming_enabled
            ),
        )
