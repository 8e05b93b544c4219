from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission

from permissions.rules import RULES

if TYPE_CHECKING:  # Django REST framework imports this module while it imports its own views.
    from rest_framework.request import Request
    from rest_framework.views import APIView


class RulesPermission(BasePermission):
    """Lets through what ``permissions.rules.RULES`` allows, and refuses whatever stands not there."""

    def has_permission(self, request: "Request", view: "APIView") -> bool:
        method = (request.method or "").lower()
        action = getattr(view, "action", method)
        if action is None or not hasattr(view, method):
            # No handler: who is signed in, or need not be, gets the 405 that comes next.
            return request.user is not None or not request.authenticators
        rule = RULES.get(getattr(view, "rules", ""), {}).get(action)
        return rule is not None and rule.permits(request.user, view)
