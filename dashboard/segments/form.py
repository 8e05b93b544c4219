"""A segment's form: name, description and rules."""

from typing import Any, cast

from django.http import HttpRequest

from dashboard.api import APIResponse
from dashboard.edits import DIGESTS, Edit, encoded_digests, unix_lines
from dashboard.segments.builder import Tree
from segments import trees
from segments.models import Segment
from segments.trees import RuleData


class Form:
    """The stored or submitted fields of a segment, with the API's errors."""

    def __init__(self, name: str, description: str, tree: Tree, digests: str = "") -> None:
        self.name, self.description, self.tree, self.digests = name, description, tree, digests
        self.errors: dict[str, list[str]] = {}
        self.non_field_errors: list[str] = []
        self.was_refused = False

    @classmethod
    def for_segment(cls, segment: Segment) -> "Form":
        """The form of a segment that was read with ``trees.with_trees``."""
        tree = Tree.from_data(trees.read(segment))
        return cls(segment.name, segment.description or "", tree, encoded_digests(stored_fields(segment)))

    @classmethod
    def from_post(cls, request: HttpRequest) -> "Form":
        posted = request.POST
        tree = Tree.from_post(posted)
        return cls(posted.get("name", ""), unix_lines(posted.get("description", "")), tree, posted.get(DIGESTS, ""))

    @property
    def body(self) -> dict[str, Any]:
        """The API's format."""
        return {"name": self.name, "description": self.description or None, "rules": self.tree.body}

    @property
    def fields(self) -> dict[str, Any]:
        """The fields in the format of ``stored_fields``, for ``edits.Edit``."""
        return {**self.body, "rules": trees.with_missing_fields(cast(list[RuleData], self.tree.body))}

    def merge(self, edit: Edit, segment: Segment) -> None:
        """Replace the fields that the user left untouched by the stored ones."""
        self.digests = encoded_digests(stored_fields(segment))
        self.name, self.description = edit.merged["name"], edit.merged["description"] or ""
        if "rules" in edit.untouched:
            self.tree = Tree.from_data(trees.read(segment))

    def add_errors(self, response: APIResponse) -> None:
        self.was_refused = True
        self.errors = response.errors
        self.non_field_errors = self.tree.assign_errors(response.errors)


def stored_fields(segment: Segment) -> dict[str, Any]:
    """The fields of a segment that was read with ``trees.with_trees``, for ``edits.Edit``."""
    return {
        "name": segment.name,
        "description": unix_lines(segment.description or "") or None,
        "rules": trees.read(segment),
    }
