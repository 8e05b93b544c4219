"""What ends the life of a change request as a draft, and what leads there."""

from http import HTTPStatus
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from core.locks import lock_environment
from dashboard.change_requests.page import Allowed, OneRequest


class Approve(OneRequest):
    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        answer = self.call("POST", f"{self.path}approve/")
        return self.go(self.url(), "Approved." if answer.ok else "", refused=answer.message)


class Withdraw(OneRequest):
    """Take the user from those who were asked or have approved: that is how the API takes an approval back."""

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        # Whoever approves meanwhile must not be taken off the list that was read.
        with transaction.atomic():
            lock_environment(self.environment.pk)
            approvals = self.call("GET", self.path).data["approvals"]
            others = [{"user": each["user"]} for each in approvals if each["user"] != self.user.pk]
            answer = self.call("PATCH", self.path, {"approvals": others})
        return self.go(self.url(), "Your approval is withdrawn." if answer.ok else "", refused=answer.message)


class Commit(OneRequest):
    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        answer = self.call("POST", f"{self.path}commit/")
        if not answer.ok:
            return self.go(self.url(), refused=answer.message)
        self.enter()
        told = "Committed. It goes live at its time." if self.change_request.due_at else "Committed: it is live."
        return self.go(self.url(), told)


class DeletePage(OneRequest):
    """GET asks, for browsers without scripts; POST does it."""

    template = "dashboard/change_requests/delete.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.show(allowed=Allowed(self))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        was_scheduled = self.change_request.is_committed
        answer = self.call("DELETE", self.path)
        if answer.status != HTTPStatus.NO_CONTENT:
            return self.go(self.url(), refused=answer.message)
        told = "will not go live: it is deleted." if was_scheduled else "is deleted."
        return self.go(self.list_url, f"“{self.change_request.title}” {told}")
