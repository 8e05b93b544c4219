"""OpenAPI schema of the SDK API's keys and responses."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from sdk.authentication import HEADER


class EnvironmentKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "sdk.authentication.EnvironmentKeyAuthentication"
    name = "environmentKey"
    description = "An environment's client key, or a server-side key."

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "header", "name": HEADER, "description": self.description}


class ServerKeyScheme(EnvironmentKeyScheme):  # type: ignore[no-untyped-call]
    target_class = "sdk.authentication.ServerKeyAuthentication"
    name = "serverKey"
    description = "A server-side key of an environment."


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _nullable(kind: str) -> dict[str, Any]:
    return {"type": kind, "nullable": True}


SCALAR = {"oneOf": [{"type": kind} for kind in ("string", "boolean", "number")], "nullable": True}

FLAG = _object(
    id=_nullable("integer"),
    feature=_object(
        id={"type": "integer"},
        name={"type": "string"},
        created_date={"type": "string", "format": "date-time", "nullable": True},
        description=_nullable("string"),
        initial_value=_nullable("string"),
        default_enabled=_nullable("boolean"),
        type={"type": "string"},
    ),
    feature_state_value=SCALAR,
    environment=_nullable("integer"),
    identity=_nullable("integer"),
    feature_segment=_nullable("integer"),
    enabled={"type": "boolean"},
)
FLAGS = {"oneOf": [{"type": "array", "items": FLAG}, FLAG]}
IDENTITY = _object(
    identifier=_nullable("string"),
    traits={"type": "array", "items": _object(trait_key={"type": "string"}, trait_value=SCALAR)},
    flags={"type": "array", "items": FLAG},
)
IDENTITY_OR_FLAG = {"oneOf": [IDENTITY, FLAG]}
