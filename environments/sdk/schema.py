"""The SDK API's keys in the OpenAPI document."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from environments.sdk.authentication import HEADER


class EnvironmentKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "environments.sdk.authentication.EnvironmentKeyAuthentication"
    name = "environmentKey"
    description = "An environment's client key, or a server-side key."

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "header", "name": HEADER, "description": self.description}


class ServerKeyScheme(EnvironmentKeyScheme):  # type: ignore[no-untyped-call]
    target_class = "environments.sdk.authentication.ServerKeyAuthentication"
    name = "serverKey"
    description = "A server-side key of an environment."
