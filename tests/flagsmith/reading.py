"""The content that SDKs read from Flagsmith: flags, an identity's flags, and the environment document."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import requests
from flagsmith import Flagsmith
from flagsmith.models import Flags

from tests.e2e.changes import IDENTITY, TRAITS
from tests.support.api import TIMEOUT, VERSION_HEADER, Body, Tenant

Seen = dict[str, tuple[bool, Any]]
"""Feature name to (enabled, value), without features that are not served."""


@dataclass(frozen=True)
class Read:
    """The content at one time. The identity is ``IDENTITY``."""

    flags: Seen
    identity: Seen
    document: Body
    local_flags: Seen
    """The flags that the Python SDK evaluates from the document."""

    local_identity: Seen
    header: Decimal
    """The version in the header of the flags."""

    @classmethod
    def of(cls, tenant: Tenant) -> "Read":
        answer = tenant.flags_response()
        identity = call(
            tenant,
            "POST",
            "identities/",
            tenant.environment.key,
            {"identifier": IDENTITY, "transient": True, **_TRAITS},
        )
        document: Body = call(tenant, "GET", "environment-document/", tenant.environment.server_key)
        local = Flagsmith(offline_mode=True, offline_handler=_OfflineHandler(document))
        return cls(
            flags=_served(answer.json()),
            identity=_served(identity["flags"]),
            document=document,
            local_flags=_seen(local.get_environment_flags()),
            local_identity=_seen(local.get_identity_flags(IDENTITY, traits=TRAITS)),
            header=Decimal(answer.headers[VERSION_HEADER]),
        )

    @property
    def version(self) -> Decimal:
        """The version of the document."""
        return Decimal(datetime.fromisoformat(self.document["updated_at"]).timestamp())

    @property
    def segments(self) -> list[str]:
        """The names of the document's segments."""
        return sorted(segment["name"] for segment in self.document["project"]["segments"])

    @property
    def options(self) -> list[str]:
        """The values of all multivariate options in the document."""
        shares = [
            share for state in self.document["feature_states"] for share in state["multivariate_feature_state_values"]
        ]
        return sorted(share["multivariate_feature_option"]["value"] for share in shares)

    def unlike(self, expected: Body) -> Body:
        """The content that differs from the expected one.

        Expected values are given by path: ``flags.banner``, ``identity.banner``, ``local_flags.banner``,
        ``local_identity.banner`` (None if not served), ``document.name``, ``segments``, ``options``.
        ``everyone.banner`` is in the flags and in the document; ``identified.banner`` is the same for the identity.
        """
        return {
            place: seen
            for path, value in expected.items()
            for place in _expanded(path)
            if (seen := self._at(place)) != value
        }

    def _at(self, path: str) -> Any:
        where, _, name = path.partition(".")
        place = getattr(self, where)
        return place.get(name) if name else place


_TRAITS = {"traits": [{"trait_key": name, "trait_value": value} for name, value in TRAITS.items()]}

_BOTH = {"everyone": ("flags", "local_flags"), "identified": ("identity", "local_identity")}


def _expanded(path: str) -> list[str]:
    where, _, name = path.partition(".")
    return [f"{place}.{name}" for place in _BOTH[where]] if where in _BOTH else [path]


def call(tenant: Tenant, method: str, path: str, key: str, body: Body | None = None) -> Any:
    """Call the SDK API with this key, and return the JSON of the response."""
    url = f"{tenant.api.url}/api/v1/{path}"
    answer = requests.request(method, url, headers={"X-Environment-Key": key}, json=body, timeout=TIMEOUT)
    answer.raise_for_status()
    return answer.json()


class _OfflineHandler:
    """Gives the document to the SDK."""

    def __init__(self, document: Body) -> None:
        self._document = document

    def get_environment(self) -> Any:
        return self._document


def _served(flags: list[Body]) -> Seen:
    return {flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"]) for flag in flags}


def _seen(flags: Flags) -> Seen:
    return {flag.feature_name: (flag.enabled, flag.value) for flag in flags.all_flags()}
