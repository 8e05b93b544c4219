"""Where this product is not to answer as the recorded Flagsmith did: on purpose, or not yet."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.contract.recording import Call

AUDIT = "the audit log is an issue of its own"
FUTURE = "the end points of Flagsmith's command line are an issue of their own"

# Calls whose end points do not exist yet. They fail as long as that is so, and the day they pass, the mark has to go.
LATER: dict[str, str] = {
    "audit": AUDIT,
    "audit org": AUDIT,
    "audit detail": AUDIT,
    "webhook": "webhooks are an issue of their own",
    "future get": FUTURE,
    "future patch": FUTURE,
    "usage": "usage figures are an issue of their own",
    "version": "the operators' end points are an issue of their own",
}

Step = str | int
ANY_INDEX = "*"


@dataclass(frozen=True)
class Difference:
    """What is expected of us in place of a part of a recorded answer."""

    call: str
    way: tuple[Step, ...]
    """From the answer to the part; "*" stands for each item of a list. Empty: the answer as a whole."""
    expected: Any
    """The part, or a function from the recorded part to it. ``...`` takes the part out of the answer."""
    why: str
    status: int | None = None


ENTERPRISE = "a new organisation has the plan that all features come with; the recorded one was changed by hand"
SEATS = "the seats were raised by hand together with the recorded plan"

DELIBERATE: tuple[Difference, ...] = (
    Difference("org create", ("subscription", "plan"), "enterprise", ENTERPRISE),
    Difference("org list", ("results", 0, "subscription", "plan"), "enterprise", ENTERPRISE),
    Difference("org get", ("subscription", "plan"), "enterprise", ENTERPRISE),
    Difference("org get", ("subscription", "max_seats"), 1, SEATS),
    Difference(
        "feature segment dup",
        (),
        {"non_field_errors": ["The fields feature, environment, segment must make a unique set."]},
        "a second override of one segment has no meaning; the recorded Flagsmith's own check for it has no effect",
        status=400,
    ),
    Difference("identities none", (), lambda recorded: recorded, "an error has an error's status", status=400),
)


def expected(call: Call) -> tuple[int, Any]:
    """The status and the answer that are right for us."""
    status, answer = call.status, deepcopy(call.answer)
    for difference in DELIBERATE:
        if difference.call == call.name:
            status = difference.status or status
            answer = _replaced(answer, difference.way, difference.expected)
    return status, answer


def _replaced(part: Any, way: tuple[Step, ...], expected: Any) -> Any:
    if not way:
        return expected(part) if isinstance(expected, Callable) else deepcopy(expected)
    first, rest = way[0], way[1:]
    steps = range(len(part)) if first == ANY_INDEX else (first,)
    for step in steps:
        if not rest and expected is ...:
            del part[step]
        else:
            part[step] = _replaced(part[step], rest, expected)
    return part
