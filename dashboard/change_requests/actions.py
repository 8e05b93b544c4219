"""Actions on a change request: approve, withdraw an approval, commit, delete."""

from http import HTTPStatus
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from core.locks import lock_environment
from dashboard.change_requests.detail import ChangeRequestBase, Denials


class Approve(ChangeRequestBase):
    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        response = self.call("POST", f"{self.api_path}approve/")
        return self.redirect_after(response, self.url(), "Approved.")


class Withdraw(ChangeRequestBase):
    """Withdraw the user's approval. In the API that removes the user from the list of approvals."""

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        # The lock keeps an approval that another user gives between the read and the write.
        with transaction.atomic():
            lock_environment(self.environment.pk)
            approvals = self.call("GET", self.api_path).data["approvals"]
            others = [{"user": each["user"]} for each in approvals if each["user"] != self.user.pk]
            response = self.call("PATCH", self.api_path, {"approvals": others})
        return self.redirect_after(response, self.url(), "Your approval is withdrawn.")


class Commit(ChangeRequestBase):
    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        response = self.call("POST", f"{self.api_path}commit/")
        if not response.ok:
            return self.redirect(self.url(), error=response.message)
        self.load()
        message = "Committed. It goes live at its time." if self.change_request.due_at else "Committed: it is live."
        return self.redirect(self.url(), message)


class DeletePage(ChangeRequestBase):
    """Delete a change request. GET shows a confirmation page."""

    template = "dashboard/change_requests/delete.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.render(denied=Denials(self))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        was_scheduled = self.change_request.is_committed
        response = self.call("DELETE", self.api_path)
        if response.status != HTTPStatus.NO_CONTENT:
            return self.redirect(self.url(), error=response.message)
        message = "will not go live: it is deleted." if was_scheduled else "is deleted."
        return self.redirect(self.list_url, f"“{self.change_request.title}” {message}")
