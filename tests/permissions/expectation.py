"""The expected result of a call, computed from a rule's data and the caller's permissions.

This is a second implementation of the decision, for comparison: it uses neither the database nor the code of the views.
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
    OFREPKey,
    Rule,
    SDKKey,
    Secret,
    SignedIn,
)
from tests.permissions.callers import Caller

Result = Literal["allowed", "unauthenticated", "denied", "hidden"]
"""``hidden`` is the result for an object that the caller may not see: a 404."""

# ``Both`` has the first of its conditions' results in this order, ``Either`` the last.
ORDER: tuple[Result, ...] = ("unauthenticated", "hidden", "denied", "allowed")


def expected_result(rule: Rule, caller: Caller, special: bool = False) -> Result:
    """``special`` is that of the call, for a rule of the class ``ByTarget``."""
    match rule:
        case Anyone():
            return "allowed"
        case Secret():
            return "unauthenticated"
        case OFREPKey():
            # No caller sends the key in OFREP's headers (tests/ofrep).
            return "unauthenticated"
        case SDKKey(server=server):
            keys = ("server key",) if server else ("environment key", "server key")
            return "allowed" if caller.kind in keys else "unauthenticated"
    return _of_signed_in(rule, caller, special) if caller.kind in ("user", "master key") else "unauthenticated"


def named(rule: Rule) -> set[str]:
    """The levels and permissions that a rule names, with ``MEMBER`` and ``ADMIN``."""
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


def _of_signed_in(rule: Rule, caller: Caller, special: bool) -> Result:
    match rule:
        case NotAvailable():
            return "hidden"
        case SignedIn(user=user):
            return "denied" if user and caller.kind == "master key" else "allowed"
        case Has(level=level, key=key):
            return _of_permission(caller, level, key)
        case Either(first=first, second=second):
            results = expected_result(first, caller, special), expected_result(second, caller, special)
            return max(results, key=ORDER.index)
        case Both(first=first, second=second):
            results = expected_result(first, caller, special), expected_result(second, caller, special)
            return min(results, key=ORDER.index)
        case ByTarget(special=special_rule, otherwise=otherwise):
            return expected_result(special_rule if special else otherwise, caller)
        case Lookup(user=True) if caller.kind == "master key":
            return "denied"
        case Lookup(needs=inner):
            return "allowed" if expected_result(inner, caller, special) == "allowed" else "hidden"
    raise TypeError(rule)


def _of_permission(caller: Caller, level: Level, key: str) -> Result:
    if not _may_see(caller, level):
        return "hidden"
    if _is_admin(caller, level) or key == MEMBER or key in getattr(caller, level):
        return "allowed"
    return "denied"


def _is_admin(caller: Caller, level: Level) -> bool:
    parent: dict[Level, Level] = {"project": "organisation", "environment": "project"}
    if level != "organisation" and _is_admin(caller, parent[level]):
        return True
    return ADMIN in getattr(caller, level)


def _may_see(caller: Caller, level: Level) -> bool:
    match level:
        case "organisation":
            return bool(caller.organisation)
        case "project":
            is_member = _may_see(caller, "organisation")
            return is_member and (_is_admin(caller, level) or "VIEW_PROJECT" in caller.project)
        case "environment":
            sees_project = _may_see(caller, "project")
            return sees_project and (_is_admin(caller, level) or "VIEW_ENVIRONMENT" in caller.environment)
    raise TypeError(level)
