"""The permission class of all views, which applies ``permissions.rules``."""

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission

from permissions.rule import Rule
from permissions.rules import RULES

if TYPE_CHECKING:  # Django REST framework imports this module while it imports its own views.
    from rest_framework.request import Request
    from rest_framework.views import APIView


def rule_of(view: Any, action: str) -> Rule | None:
    """The rule of an action, or lower-case method, of a view or its class. None: no caller may call it."""
    return RULES.get(getattr(view, "rules", ""), {}).get(action)


# Calls that are allowed without a second factor to a user whose organisation requires one (``force_2fa``): those that
# are needed to set one up. In Flagsmith only the dashboard denies the others.
ALLOWED_WITHOUT_SECOND_FACTOR = frozenset(
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
SECOND_FACTOR_REQUIRED = "An organisation that you belong to requires a second factor. Set one up: auth/app/activate/."


class RulesPermission(BasePermission):
    """Applies ``permissions.rules.RULES``. A call that is not listed there is denied."""

    def has_permission(self, request: "Request", view: "APIView") -> bool:
        method = (request.method or "").lower()
        action = getattr(view, "action", method)
        if action is None or not hasattr(view, method):
            # No handler: the response is a 405, or a 401 if the view requires authentication and there is none.
            return request.user is not None or not request.authenticators
        rule = rule_of(view, action)
        if rule is None or not rule.permits(request.user, view):
            return False
        is_allowed_without = (getattr(view, "rules", ""), action) in ALLOWED_WITHOUT_SECOND_FACTOR
        if getattr(request.user, "must_set_up_second_factor", False) and not is_allowed_without:
            raise PermissionDenied(SECOND_FACTOR_REQUIRED)
        return True
