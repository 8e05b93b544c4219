from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission

from permissions.rule import Rule
from permissions.rules import RULES

if TYPE_CHECKING:  # Django REST framework imports this module while it imports its own views.
    from rest_framework.request import Request
    from rest_framework.views import APIView


def rule_of(view: Any, action: str) -> Rule | None:
    """The rule of this action, or lower-case method, of a view or its class; None: nobody may call it."""
    return RULES.get(getattr(view, "rules", ""), {}).get(action)


# What is left to a user who owes an organisation a second factor (``force_2fa``): to see which one, and to make up for
# it. Flagsmith leaves it to its dashboard to refuse all else.
LEFT_TO_DEBTORS = frozenset(
    {
        ("organisations", "list"),
        ("me", "get"),
        ("logout", "post"),
        ("token", "delete"),
        ("set-password", "post"),
        ("second-factor/activate", "post"),
        ("second-factor/confirm", "post"),
        ("second-factor/methods", "get"),
    }
)
OWED = "An organisation that you belong to requires a second factor. Set one up: auth/app/activate/."


class RulesPermission(BasePermission):
    """Lets through what ``permissions.rules.RULES`` allows, and refuses whatever stands not there."""

    def has_permission(self, request: "Request", view: "APIView") -> bool:
        method = (request.method or "").lower()
        action = getattr(view, "action", method)
        if action is None or not hasattr(view, method):
            # No handler: who is signed in, or need not be, gets the 405 that comes next.
            return request.user is not None or not request.authenticators
        rule = rule_of(view, action)
        if rule is None or not rule.permits(request.user, view):
            return False
        owes = getattr(request.user, "owes_second_factor", False)
        if owes and (getattr(view, "rules", ""), action) not in LEFT_TO_DEBTORS:
            raise PermissionDenied(OWED)
        return True
