"""An admin operation as data: a call of the API, in which references in braces stand for objects.

In ``"PUT environments/{a}/featurestates/{state}/"``, ``a`` and ``state`` are attributes of the object that the call is
made for: a ``World`` creates them at the first reference, an ``ExistingRows`` chooses rows that exist. A reference is
replaced by the object's identifier in the API. ``{a.pk}`` is replaced by an attribute of the object.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REFERENCE = re.compile(r"\{(\w+)([\w.]*)\}")


@dataclass(frozen=True)
class Operation:
    """A named call, and its effect on a project's environments A and B."""

    name: str
    events: str = ""
    """The environments that get exactly one event; the others get none."""
    call: str = ""
    """Method and path, below ``/api/v1/`` or absolute, with references."""
    body: Any = None
    """JSON with references, or a function of the object that resolves references."""
    given: str = ""
    """Names of objects that exist before the call, besides those that it refers to."""
    key: str = "user"
    """The key that the call is made with: of a user, approver or master key; sdk, server, or none."""
    act: Callable[[Any], Any] | None = None
    """In place of a call."""
    refused: bool = False
    silent: str = ""
    """The environments whose SDKs read something else afterwards, but that get no event."""
    suppressed: str = ""
    """The environments whose version rises, but whose streaming the operation itself disables."""
    deleted: str = ""
    """The environments that do not exist afterwards."""
    streaming_enabled: bool = True
    """Whether the project has real time enabled before the call."""
    same_content: bool = False
    """The operation makes an event although SDKs read the same, as in Flagsmith."""

    def __str__(self) -> str:
        return self.name

    @property
    def method(self) -> str:
        return self.call.partition(" ")[0]

    @property
    def references(self) -> set[str]:
        """The names of all objects that the operation needs."""
        return {name for name, _ in REFERENCE.findall(f"{self.call} {self.body}")} | set(self.given.split())

    def path(self, objects: Any) -> str:
        """The absolute path."""
        path = self.call.partition(" ")[2]
        return str(resolve(path if path.startswith("/") else f"/api/v1/{path}", objects))

    def content(self, objects: Any) -> Any:
        """The body, all references resolved."""
        return self.body(objects) if callable(self.body) else resolve(self.body, objects)


def resolve(template: Any, objects: Any) -> Any:
    """The template with all references replaced by identifiers of the objects."""
    match template:
        case str():
            if whole := REFERENCE.fullmatch(template):
                return _resolve_reference(whole, objects)
            return REFERENCE.sub(lambda match: str(_resolve_reference(match, objects)), template)
        case dict():
            return {name: resolve(value, objects) for name, value in template.items()}
        case list() | tuple():
            return [resolve(item, objects) for item in template]
    return template


def _resolve_reference(match: re.Match[str], objects: Any) -> Any:
    value = getattr(objects, match[1])
    for step in match[2].split(".")[1:]:
        value = value[int(step) if step.isdigit() else step] if isinstance(value, dict | list) else getattr(value, step)
    return _identifier(value)


def _identifier(value: Any) -> Any:
    """An environment's key, another object's id; a value that is no object as it is."""
    if isinstance(value, dict):
        return value.get("id", value)
    return getattr(value, "api_key", getattr(value, "pk", value))
