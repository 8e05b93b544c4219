"""The OpenAPI description of master API keys. drf-spectacular finds the class by its base class."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class MasterAPIKeyScheme(OpenApiAuthenticationExtension):
    target_class = "api_keys.authentication.MasterAPIKeyAuthentication"
    name = "masterApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Api-Key <prefix>.<secret>"}
