"""SDKs say which environment they belong to by one of its keys, in ``X-Environment-Key``."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
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


@dataclass(frozen=True)
class SDKClient:
    """The caller of the SDK API, and the environment that it is of, as the environment is at the moment."""

    version: Version
    server: bool
    """It has a server-side key."""

    allow_client_traits: bool
    persist_trait_data: bool

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
        row = _find(key)
        if row is None:
            raise AuthenticationFailed(UNKNOWN)
        pk, revision, updated_at, allow_client_traits, persist_trait_data, stop_serving_flags = row
        if stop_serving_flags:
            raise AuthenticationFailed(STOPPED)
        version = Version(pk, revision, updated_at)
        return SDKClient(version, key.startswith(SERVER_PREFIX), allow_client_traits, persist_trait_data), key


class ServerKeyAuthentication(EnvironmentKeyAuthentication):
    """A server-side key, a secret."""

    prefix = SERVER_PREFIX


def _find(key: str) -> tuple[Any, ...] | None:
    if "\0" in key:  # PostgreSQL takes no such text, not even to compare with.
        return None
    keys: QuerySet[Any]
    if key.startswith(SERVER_PREFIX):
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        keys, path = EnvironmentAPIKey.objects.filter(unexpired, key=key, active=True), "environment__"
    else:
        keys, path = Environment.objects.filter(api_key=key), ""
    row: tuple[Any, ...] | None = keys.values_list(*(path + field for field in FIELDS)).first()
    return row
