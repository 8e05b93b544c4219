"""The answer that the table of rules promises a caller, computed from what the caller holds and from nothing else.

The decision is written a second time on purpose: this reads a rule's data, and uses neither the database nor the code
that the views call.
"""

from typing import Literal

from permissions.rule import (
    ADMIN,
    MEMBER,
    Anyone,
    Both,
    ByTarget,
    Either,
    Has,
    Level,
    Lookup,
    NotAvailable,
    Rule,
    SDKKey,
    Secret,
    SignedIn,
)
from tests.permissions.callers import Caller

Promise = Literal["allowed", "unauthenticated", "refused", "hidden"]

# The worst first: what a caller of several conditions is told.
ORDER: tuple[Promise, ...] = ("unauthenticated", "hidden", "refused", "allowed")


def promise(rule: Rule, caller: Caller, special: bool = False) -> Promise:
    """``hidden``: to this caller it does not exist. ``special`` is of a rule that is ``ByTarget``."""
    match rule:
        case Anyone():
            return "allowed"
        case Secret():
            return "unauthenticated"
        case SDKKey(server=server):
            keys = ("server key",) if server else ("environment key", "server key")
            return "allowed" if caller.kind in keys else "unauthenticated"
    return _of_signed_in(rule, caller, special) if caller.kind in ("user", "master key") else "unauthenticated"


def named(rule: Rule) -> set[str]:
    """The levels that a rule asks for something at, and the permissions, ``MEMBER`` or ``ADMIN``, that it asks for."""
    match rule:
        case Has(level=level, key=key):
            return {level, key}
        case Either(first=first, second=second) | Both(first=first, second=second):
            return named(first) | named(second)
        case ByTarget(special=first, otherwise=second):
            return named(first) | named(second)
        case Lookup(needs=inner):
            return named(inner)
    return set()


def _of_signed_in(rule: Rule, caller: Caller, special: bool) -> Promise:
    match rule:
        case NotAvailable():
            return "hidden"
        case SignedIn(user=user):
            return "refused" if user and caller.kind == "master key" else "allowed"
        case Has(level=level, key=key):
            return _held(caller, level, key)
        case Either(first=first, second=second):
            return max(promise(first, caller, special), promise(second, caller, special), key=ORDER.index)
        case Both(first=first, second=second):
            return min(promise(first, caller, special), promise(second, caller, special), key=ORDER.index)
        case ByTarget(special=special_rule, otherwise=otherwise):
            return promise(special_rule if special else otherwise, caller)
        case Lookup(user=True) if caller.kind == "master key":
            return "refused"
        case Lookup(needs=inner):
            return "allowed" if promise(inner, caller, special) == "allowed" else "hidden"
    raise TypeError(rule)


def _held(caller: Caller, level: Level, key: str) -> Promise:
    if not _sees(caller, level):
        return "hidden"
    if _administers(caller, level) or key == MEMBER or key in getattr(caller, level):
        return "allowed"
    return "refused"


def _administers(caller: Caller, level: Level) -> bool:
    above: dict[Level, Level] = {"project": "organisation", "environment": "project"}
    if level != "organisation" and _administers(caller, above[level]):
        return True
    return ADMIN in getattr(caller, level)


def _sees(caller: Caller, level: Level) -> bool:
    match level:
        case "organisation":
            return bool(caller.organisation)
        case "project":
            member = _sees(caller, "organisation")
            return member and (_administers(caller, level) or "VIEW_PROJECT" in caller.project)
        case "environment":
            project = _sees(caller, "project")
            return project and (_administers(caller, level) or "VIEW_ENVIRONMENT" in caller.environment)
    raise TypeError(level)
