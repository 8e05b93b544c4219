"""The API's base view: one transaction for each write."""

from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.views import APIView

from core import actor, changes


class AtomicWrites(APIView):
    """A view whose writes are one transaction, rolled back if the response's status is 400 or higher.

    Not Django's ATOMIC_REQUESTS, which on SQLite would take the write lock for every read.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in SAFE_METHODS:
            return super().dispatch(request, *args, **kwargs)
        with transaction.atomic(), actor.request(), changes.collecting():
            response = super().dispatch(request, *args, **kwargs)
            if response.status_code >= 400:
                transaction.set_rollback(True)
            else:
                changes.finish()
            return response

    def perform_authentication(self, request: Request) -> None:
        """Authenticate the caller, and make it the actor of a write."""
        super().perform_authentication(request)
        if request.method not in SAFE_METHODS:
            actor.set_user(request.user)
