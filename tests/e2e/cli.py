"""Commands of Flagsmith's command line, and the API calls that were recorded for them.

``cli_calls.jsonl`` has the calls of flagsmith-cli 2.0.0, recorded by ``tests.e2e.cli_recording``: one line per command
of ``COMMANDS``, with method, path, body and status of each call. Ids and keys are replaced by placeholders with the
object's name: "{banner}".
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORDING = Path(__file__).with_name("cli_calls.jsonl")

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")

RULE, OTHER_RULE = (
    json.dumps({"type": "ALL", "rules": [{"type": "ANY", "conditions": [{"property": "plan", **condition}]}]})
    for condition in ({"operator": "EQUAL", "value": "pro"}, {"operator": "IN", "value": ["pro", "max"]})
)
OPTIONS = json.dumps([{"value": "a", "weight": 30}, {"value": "b", "weight": 20}])

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("auth", "status"),
    ("organisation", "list"),
    ("project", "list"),
    ("environment", "list"),
    ("feature", "create", "banner", "--value", "hello", "--description", "d"),
    ("feature", "list"),
    ("feature", "get", "banner"),
    ("flag", "list"),
    ("flag", "get", "banner"),
    ("flag", "enable", "banner"),
    ("flag", "update", "banner", "--value", "42"),
    ("flag", "update", "banner", "--value", "x", "--disable"),
    ("segment", "create", "pros", "--rules", RULE, "--description", "those who pay"),
    ("segment", "create", "others", "--rules", RULE),
    ("segment", "list"),
    ("segment", "get", "pros"),
    ("flag", "enable", "banner", "--segment", "pros"),
    ("flag", "update", "banner", "--segment", "others", "--value", "o"),
    ("flag", "list", "--feature", "banner"),
    ("flag", "list", "--segment", "pros"),
    ("flag", "get", "banner", "--segment", "pros"),
    ("flag", "reorder", "banner", "others", "pros"),
    ("flag", "update", "banner", "--segment", "pros", "--priority", "7"),
    ("flag", "delete", "banner", "--segment", "others"),
    ("segment", "update", "pros", "--rules", OTHER_RULE),
    ("flag", "update", "banner", "--value", "mine", "--identifier", "ada"),
    ("flag", "get", "banner", "--identifier", "ada"),
    ("flag", "list", "--feature", "banner", "--identities"),
    ("flag", "enable", "banner", "--identifier", "ada"),
    ("flag", "delete", "banner", "--identifier", "ada"),
    ("feature", "create", "split", "--value", "c", "--variants", OPTIONS),
    ("feature", "variant", "list", "split"),
    ("feature", "variant", "add", "split", "--value", "z", "--weight", "10", "--key", "kz"),
    ("flag", "update", "split", "--weight", "kz=15"),
    ("flag", "update", "split", "--segment", "pros", "--weight", "kz=50"),
    ("flag", "get", "split"),
    ("feature", "variant", "update", "split", "kz", "--value", "zz"),
    ("feature", "variant", "delete", "split", "kz"),
    ("feature", "update", "banner", "--archive"),
    ("feature", "list", "--include-archived"),
    ("environment", "create", "Staging"),
    ("environment", "get", "Staging"),
    ("environment", "update", "Staging", "--description", "s"),
    ("environment", "clone", "Development", "Copy"),
    ("environment", "key", "create", "Staging", "--name", "ci"),
    ("environment", "key", "list", "Staging"),
    ("environment", "document"),
    ("environment", "delete", "Copy"),
    ("evaluate",),
    ("evaluate", "banner", "--identity", "ada", "--trait", "plan=pro"),
    ("project", "create", "Second"),
    ("project", "get", "Second"),
    ("project", "update", "Second", "--name", "Third"),
    ("project", "delete", "Third"),
    ("segment", "delete", "pros"),
    ("feature", "delete", "banner"),
)


def add_placeholders(placeholders: dict[str, Any], response: Any) -> None:
    """Add the ids of the objects in a response by their names; an environment has its key and its id."""
    for each in _objects(response):
        name = each.get("name") or each.get("identifier") or each.get("string_value")
        if name is None and {"feature", "identity"} <= set(each) and each["identity"] is not None:
            name = "override"
        if name is None or not isinstance(each.get("id"), int):
            continue
        if "api_key" in each:
            placeholders.setdefault(name, each["api_key"])
            name = f"{name}'s id"
        placeholders.setdefault(name, each["id"])


def _objects(response: Any) -> Iterator[dict[str, Any]]:
    match response:
        case dict():
            yield response
            for each in response.values():
                yield from _objects(each)
        case list():
            for each in response:
                yield from _objects(each)


def substitute(recorded: Any, placeholders: dict[str, Any]) -> Any:
    """A recorded path or body with its placeholders replaced by values."""
    match recorded:
        case dict():
            return {key: substitute(value, placeholders) for key, value in recorded.items()}
        case list():
            return [substitute(value, placeholders) for value in recorded]
        case str() if whole := PLACEHOLDER.fullmatch(recorded):
            return placeholders[whole[1]]
        case str():
            return PLACEHOLDER.sub(lambda match: str(placeholders[match[1]]), recorded)
    return recorded
