"""A segment's form: its name, its description, and the rules that say who belongs to it."""

from typing import Any, cast

from django.http import HttpRequest

from dashboard.api import Answer
from dashboard.edits import SHOWN, Edit, token, unix_lines
from dashboard.segments.builder import Tree
from segments import trees
from segments.models import Segment
from segments.trees import RuleData


class Form:
    """What is typed of a segment, or stored of it, with what the API says to it."""

    def __init__(self, name: str, description: str, tree: Tree, shown: str = "") -> None:
        self.name, self.description, self.tree, self.shown = name, description, tree, shown
        self.errors: dict[str, list[str]] = {}
        self.refusal: list[str] = []
        self.refused = False

    @classmethod
    def stored(cls, segment: Segment) -> "Form":
        """Of a segment that ``trees.with_trees`` has read."""
        tree = Tree.of(trees.read(segment))
        return cls(segment.name, segment.description or "", tree, token(stored(segment)))

    @classmethod
    def typed(cls, request: HttpRequest) -> "Form":
        posted = request.POST
        tree = Tree.typed(posted)
        return cls(posted.get("name", ""), unix_lines(posted.get("description", "")), tree, posted.get(SHOWN, ""))

    @property
    def body(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"name": self.name, "description": self.description or None, "rules": self.tree.body}

    @property
    def fields(self) -> dict[str, Any]:
        """As ``edits`` compares them with what is stored."""
        return {**self.body, "rules": trees.with_missing_fields(cast(list[RuleData], self.tree.body))}

    def merge(self, edit: Edit, segment: Segment) -> None:
        """Show what is stored by now, in place of what its user left as it was."""
        self.shown = token(stored(segment))
        self.name, self.description = edit.merged["name"], edit.merged["description"] or ""
        if "rules" in edit.untouched:
            self.tree = Tree.of(trees.read(segment))

    def refuse(self, answer: Answer) -> None:
        self.refused = True
        self.errors = answer.errors
        self.refusal = self.tree.refuse(answer.errors)


def stored(segment: Segment) -> dict[str, Any]:
    """The fields of a segment that ``trees.with_trees`` has read, as ``edits`` compares them."""
    return {
        "name": segment.name,
        "description": unix_lines(segment.description or "") or None,
        "rules": trees.read(segment),
    }
