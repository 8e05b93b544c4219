"""SDKs say which environment they belong to by one of its keys, in ``X-Environment-Key``."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from environments.document import Version
from environments.keys import SERVER_PREFIX
from environments.models import Environment, EnvironmentAPIKey

HEADER = "X-Environment-Key"

MISSING = "Invalid or missing Environment key"
UNKNOWN = "Invalid or missing Environment Key"
STOPPED = "Organisation is disabled from serving flags."

# What a request needs to know of its environment.
FIELDS = (
    "pk",
    "revision",
    "updated_at",
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
        key = request.headers.get(HEADER, "")
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
    found: dict[str, SDKClient] = {}
    if public:
        environments = Environment.objects.filter(api_key__in=public)
        found.update(_clients(environments.values_list("api_key", *FIELDS), server=False))
    if secrets:
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        held = EnvironmentAPIKey.objects.filter(unexpired, key__in=secrets, active=True)
        fields = (f"environment__{field}" for field in FIELDS)
        found.update(_clients(held.values_list("key", *fields), server=True))
    return found


def _clients(rows: Iterable[tuple[Any, ...]], server: bool) -> Iterator[tuple[str, SDKClient]]:
    for key, pk, revision, updated_at, allow_client_traits, persist_trait_data, stopped in rows:
        version = Version(pk, revision, updated_at)
        yield key, SDKClient(version, server, allow_client_traits, persist_trait_data, stopped)
