"""A segment's form: its name, its description, and the rules that say who belongs to it."""

from typing import Any

from django.http import HttpRequest

from dashboard.api import Answer
from dashboard.segments.builder import Tree
from segments import trees
from segments.models import Segment


class Form:
    """What is typed of a segment, or stored of it, with what the API says to it."""

    def __init__(self, name: str, description: str, tree: Tree, version: str = "") -> None:
        self.name, self.description, self.tree, self.version = name, description, tree, version
        self.errors: dict[str, list[str]] = {}
        self.refusal: list[str] = []
        self.refused = False

    @classmethod
    def stored(cls, segment: Segment) -> "Form":
        """Of a segment that ``trees.with_trees`` has read."""
        tree = Tree.of(trees.read(segment))
        return cls(segment.name, segment.description or "", tree, segment.updated_at.isoformat())

    @classmethod
    def typed(cls, request: HttpRequest) -> "Form":
        posted = request.POST
        tree = Tree.typed(posted)
        return cls(posted.get("name", ""), posted.get("description", ""), tree, posted.get("version", ""))

    def body(self, description: str | None = None) -> dict[str, Any]:
        """As the API takes it. ``description`` is the one that is stored: none stays none."""
        typed = self.description.replace("\r\n", "\n")
        said = typed or ("" if description else description)
        return {"name": self.name, "description": said, "rules": self.tree.body}

    def refuse(self, answer: Answer) -> None:
        self.refused = True
        self.errors = answer.errors
        self.refusal = self.tree.refuse(answer.errors)
