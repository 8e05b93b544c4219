"""The responses in which this product deliberately differs from the recorded Flagsmith."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from core import version
from organisations.permissions import catalogue
from tests.contract.recording import Call

Step = str | int
ANY_INDEX = "*"


@dataclass(frozen=True)
class Difference:
    """The expected value of a part of a recorded response."""

    call: str
    path: tuple[Step, ...]
    """The path to the part; "*" stands for each item of a list. An empty path is the whole response."""
    expected: Any
    """The part, or a function of the recorded part. ``...`` removes the part."""
    reason: str
    status: int | None = None


ENTERPRISE = "a new organisation has the plan that all features come with; the recorded one was changed by hand"
SEATS = "the seats were raised by hand together with the recorded plan"

# "New Segment created", which names the revision that Flagsmith stores when a segment is changed.
REVISION_ENTRY = 124
REVISION = "segments have no revisions here, so none is logged"
# An entry that Flagsmith does not write. Its id is before those of the recorded ones, and its object has no type.
SWITCH_ENTRY = 98
SWITCH_OBJECT = {"environment": None, "related_object_id": None, "related_object_type": None}
SWITCH = "a change that raises versions has an entry, also one of a project"
# Ids of entries about a value and the state that the same request changed.
STATES_AFTER_VALUES = {116: 117, 130: 131}


def logged(recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The recorded log without the entry about a revision, with a state's entry before that of its value, and with an
    entry of the switch of real-time updates, which is the oldest."""
    entries = {entry["id"]: entry for entry in recorded if entry["id"] != REVISION_ENTRY}
    for value, state in STATES_AFTER_VALUES.items():
        entries[value], entries[state] = entries[state], entries[value]
    switched = {"id": SWITCH_ENTRY, "log": "Real-time updates turned on for project: P", **SWITCH_OBJECT}
    return [*entries.values(), {**recorded[-1], **switched}]


RELEASE = "clients ask which release of Flagsmith the API is like; the recorded one was built without its number"

DELIBERATE: tuple[Difference, ...] = (
    Difference("org create", ("subscription", "plan"), "enterprise", ENTERPRISE),
    Difference("org list", ("results", 0, "subscription", "plan"), "enterprise", ENTERPRISE),
    Difference("org get", ("subscription", "plan"), "enterprise", ENTERPRISE),
    Difference("org get", ("subscription", "max_seats"), 1, SEATS),
    Difference(
        "project perms list",
        (ANY_INDEX,),
        lambda recorded: {**recorded, "description": catalogue.PROJECT.get(recorded["key"])},
        "descriptions are our own words, for people",
    ),
    *(
        difference
        for call in ("audit", "audit org")
        for difference in (
            Difference(call, ("count",), 34, f"{REVISION}; and {SWITCH}"),
            Difference(call, ("results",), logged, f"{REVISION}; {SWITCH}; and a state is saved before its value"),
        )
    ),
    Difference("version", ("image_tag",), version.FLAGSMITH, RELEASE),
    Difference("version", ("package_versions", "."), version.FLAGSMITH, RELEASE),
    Difference("version", ("is_enterprise",), False, "there is no enterprise edition of this"),
    Difference("identities none", (), lambda recorded: recorded, "an error has an error's status", status=400),
)


def expected(call: Call) -> tuple[int, Any]:
    """The expected status and response."""
    status, answer = call.status, deepcopy(call.answer)
    for difference in DELIBERATE:
        if difference.call == call.name:
            status = difference.status or status
            answer = _replaced(answer, difference.path, difference.expected)
    return status, answer


def _replaced(part: Any, path: tuple[Step, ...], expected: Any) -> Any:
    if not path:
        return expected(part) if isinstance(expected, Callable) else deepcopy(expected)
    first, rest = path[0], path[1:]
    steps = range(len(part)) if first == ANY_INDEX else (first,)
    for step in steps:
        if not rest and expected is ...:
            del part[step]
        else:
            part[step] = _replaced(part[step], rest, expected)
    return part
