"""OpenAPI schema of the SDK API's keys and responses."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from realtime.ofrep.requests import MAX_IDENTIFIER_LENGTH
from sdk.authentication import HEADER


class EnvironmentKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "sdk.authentication.EnvironmentKeyAuthentication"
    name = "environmentKey"
    description = "An environment's client key, or a server-side key."

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "header", "name": HEADER, "description": self.description}


class OFREPKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "sdk.ofrep.OFREPAuthentication"
    name = ["ofrepKey", "ofrepBearer"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """Either of them."""
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        description = EnvironmentKeyScheme.description
        return [
            {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": description},
            {"type": "http", "scheme": "bearer", "description": description},
        ]


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

OFREP_REQUEST = {
    "application/json": _object(
        context={
            "type": "object",
            "properties": {"targetingKey": {"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER_LENGTH}},
            "required": ["targetingKey"],
            "additionalProperties": True,
        }
    )
}
OFREP_METADATA = _object(version={"type": "string"})
OFREP_EVALUATION = {
    "type": "object",
    "properties": {
        "key": {"type": "string"},
        "value": {"oneOf": [{"type": kind} for kind in ("boolean", "string", "integer")]},
        "reason": {"type": "string", "enum": ["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED"]},
        "variant": {"type": "string"},
        "metadata": OFREP_METADATA,
    },
    "required": ["key", "reason", "variant"],
}
OFREP_EVALUATIONS = {
    "type": "object",
    "properties": {
        "flags": {"type": "array", "items": OFREP_EVALUATION},
        "metadata": OFREP_METADATA,
        "eventStreams": {
            "type": "array",
            "items": _object(type={"type": "string"}, endpoint=_object(requestUri={"type": "string"})),
        },
    },
    "required": ["flags", "metadata"],
}
OFREP_FAILURE = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("key", "errorCode", "errorDetails")},
    "required": ["errorCode", "errorDetails"],
}
OFREP_REJECTION = _object(errorDetails={"type": "string"})
