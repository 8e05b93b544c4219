"""What Flagsmith's command line is told to do here, and the calls that it then made.

``cli_calls.jsonl`` holds the calls of flagsmith-cli 2.0.0, recorded by ``tests.e2e.cli_recording``: a line for each
command of ``COMMANDS``, with every call's method, path, body and status. Numbers and keys are replaced by the names of
what they belong to, in braces: "{banner}".
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("cli_calls.jsonl")

NAMED = re.compile(r"\{([^{}]+)\}")

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


def learn(names: dict[str, Any], answer: Any) -> None:
    """Note the numbers of the objects in an answer under their names; of an environment its key, and its number too."""
    for each in _objects(answer):
        name = each.get("name") or each.get("identifier") or each.get("string_value")
        if name is None and {"feature", "identity"} <= set(each) and each["identity"] is not None:
            name = "override"
        if name is None or not isinstance(each.get("id"), int):
            continue
        if "api_key" in each:
            names.setdefault(name, each["api_key"])
            name = f"{name}'s number"
        names.setdefault(name, each["id"])


def _objects(answer: Any) -> Iterator[dict[str, Any]]:
    match answer:
        case dict():
            yield answer
            for each in answer.values():
                yield from _objects(each)
        case list():
            for each in answer:
                yield from _objects(each)


def filled(recorded: Any, names: dict[str, Any]) -> Any:
    """A path or a body, with what the names in braces stand for."""
    match recorded:
        case dict():
            return {key: filled(value, names) for key, value in recorded.items()}
        case list():
            return [filled(value, names) for value in recorded]
        case str() if whole := NAMED.fullmatch(recorded):
            return names[whole[1]]
        case str():
            return NAMED.sub(lambda match: str(names[match[1]]), recorded)
    return recorded
