"""How the API's description (OpenAPI) is made: what every operation says beside its own shapes."""

from typing import Any, Literal

from drf_spectacular.drainage import error
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from permissions.enforcement import rule_of
from permissions.rule import ANYONE

EXTENSION = "x-permission"

REFUSAL = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
INVALID = {
    "description": "Messages below the names of the fields that they are about, or a list of messages about the whole.",
    "oneOf": [{"type": "object", "minProperties": 1}, {"type": "array", "minItems": 1}],
}

# Status: what it means.
REFUSALS = {
    "400": "Something in the request is wrong.",
    "401": "Nobody is signed in, or the token is worth nothing.",
    "403": "The caller may not do that.",
    "404": "It does not exist, or not for the caller.",
    "406": "No such format.",
    "413": "The body is too large.",
    "415": "The body is of a type that is not read.",
    "429": "Too many calls; `Retry-After` says when to try again.",
}


class APISchema(AutoSchema):
    """Describes operations. Who may call stands below the description, and alone in ``x-permission``, in the words of
    ``permissions.rules``; all refusals that the operation can answer with stand among its responses."""

    def get_description(self) -> str:
        description: str = super().get_description() or ""
        rule = self._rule()
        return f"{description}\n\nWho may call: {rule.description}.".strip() if rule else description

    def get_extensions(self) -> dict[str, Any]:
        extensions: dict[str, Any] = super().get_extensions()
        rule = self._rule()
        if rule is None:
            error(f"{self.method} {self.path} has no rule in permissions/rules.py: nobody may call it.")
            return extensions
        return {**extensions, EXTENSION: rule.description}

    def _rule(self) -> Any:
        return rule_of(self.view, getattr(self.view, "action", None) or self.method.lower())

    def _map_basic_serializer(self, serializer: Any, direction: str) -> dict[str, Any]:
        """What a serializer calls ``sometimes_left_out`` of its answers is not required in them."""
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)
        left_out = getattr(serializer, "sometimes_left_out", ())
        if left_out and "required" in schema:
            schema["required"] = [name for name in schema["required"] if name not in left_out]
        return schema

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        for status in self._refusals():
            responses.setdefault(status, self._refusal(status))
        return responses

    def _refusals(self) -> list[str]:
        possible = ["400", "404", "406"]
        if self.view.get_authenticators():
            possible.append("403")
            if any(each.authenticate_header(self.view.request) for each in self.view.get_authenticators()):
                possible.append("401")
        elif self._rule() is not ANYONE or self.method != "GET":
            possible.append("403")
        if self.method in ("POST", "PUT", "PATCH", "DELETE"):
            possible += ["413", "415"]
        if self.view.get_throttles():
            possible.append("429")
        return sorted(possible)

    def _refusal(self, status: str) -> dict[str, Any]:
        name, schema = ("Invalid", INVALID) if status == "400" else ("Refusal", REFUSAL)
        component = ResolvedComponent(name=name, type=ResolvedComponent.SCHEMA, object=name, schema=schema)
        self.registry.register_on_missing(component)
        return {"content": {"application/json": {"schema": component.ref}}, "description": REFUSALS[status]}
