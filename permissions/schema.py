"""The OpenAPI description of operations: adds their permissions and error responses to drf-spectacular's schema."""

from typing import Any, Literal

from drf_spectacular.drainage import error
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from permissions.enforcement import rule_of
from permissions.rule import ANYONE

EXTENSION = "x-permission"

ERROR = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
INVALID = {
    "description": "Messages by the names of the invalid fields, or a list of messages about the whole request.",
    "oneOf": [{"type": "object", "minProperties": 1}, {"type": "array", "minItems": 1}],
}

# Descriptions of error responses, by status.
ERROR_DESCRIPTIONS = {
    "400": "The request is invalid.",
    "401": "The credentials are missing or invalid.",
    "403": "The caller does not have the permission.",
    "404": "The object does not exist, or the caller may not see it.",
    "406": "The requested format is not available.",
    "413": "The body is too large.",
    "415": "The body's content type is not supported.",
    "429": "Too many calls. `Retry-After` has the seconds to wait.",
}


class APISchema(AutoSchema):
    """Describes operations. An operation's rule (``permissions.rules``) is in its description and in the extension
    ``x-permission``, and its responses include all errors that it can have."""

    def get_description(self) -> str:
        description: str = super().get_description() or ""
        rule = self._rule()
        return f"{description}\n\nAllowed callers: {rule.description}.".strip() if rule else description

    def get_extensions(self) -> dict[str, Any]:
        extensions: dict[str, Any] = super().get_extensions()
        rule = self._rule()
        if rule is None:
            error(f"{self.method} {self.path} has no rule in permissions/rules.py, so all calls are denied. Add one.")
            return extensions
        return {**extensions, EXTENSION: rule.description}

    def _rule(self) -> Any:
        return rule_of(self.view, getattr(self.view, "action", None) or self.method.lower())

    def _map_basic_serializer(self, serializer: Any, direction: str) -> dict[str, Any]:
        """The schema of a serializer. The fields in its ``optional_in_responses`` are not required."""
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)
        optional = getattr(serializer, "optional_in_responses", ())
        if optional and "required" in schema:
            schema["required"] = [name for name in schema["required"] if name not in optional]
        return schema

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        for status in self._error_statuses():
            responses.setdefault(status, self._error_response(status))
        return responses

    def _error_statuses(self) -> list[str]:
        statuses = ["400", "404", "406"]
        authenticators = self.view.get_authenticators()
        if authenticators:
            statuses.append("403")
            if any(authenticator.authenticate_header(self.view.request) for authenticator in authenticators):
                statuses.append("401")
        elif self._rule() is not ANYONE or self.method != "GET":
            statuses.append("403")
        if self.method in ("POST", "PUT", "PATCH", "DELETE"):
            statuses += ["413", "415"]
        if self.view.get_throttles():
            statuses.append("429")
        return sorted(statuses)

    def _error_response(self, status: str) -> dict[str, Any]:
        name, schema = ("Invalid", INVALID) if status == "400" else ("Error", ERROR)
        component = ResolvedComponent(name=name, type=ResolvedComponent.SCHEMA, object=name, schema=schema)
        self.registry.register_on_missing(component)
        return {"content": {"application/json": {"schema": component.ref}}, "description": ERROR_DESCRIPTIONS[status]}
