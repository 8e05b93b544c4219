"""One change request."""

from datetime import UTC
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.change_requests import reading
from dashboard.change_requests.differences import differences_of
from dashboard.change_requests.progress import given_approvals, history_of, missing_approvals, planned_for, progress_of
from dashboard.edits import token
from dashboard.places import EnvironmentPage
from features.workflows.core.conflicts import find_conflicts
from features.workflows.core.models import ChangeRequest


class OneRequest(EnvironmentPage):
    """A page below ``change-requests/{change_request_pk}/``."""

    template = "dashboard/change_requests/page.html"
    tab = "change-requests"

    change_request: ChangeRequest

    def enter(self) -> None:
        super().enter()
        found = reading.request_of(self.environment, self.kwargs["change_request_pk"])
        if found is None:
            raise Http404
        self.change_request = found

    @property
    def path(self) -> str:
        """The request's in the Admin API."""
        return f"features/workflows/change-requests/{self.change_request.pk}/"

    def url(self, name: str = "change-request") -> str:
        return reverse(f"dashboard:{name}", args=[self.project.pk, self.environment.api_key, self.change_request.pk])

    @property
    def list_url(self) -> str:
        return reverse("dashboard:change-requests", args=[self.project.pk, self.environment.api_key])

    def context(self) -> dict[str, Any]:
        request = self.change_request
        return {
            **super().context(),
            "change_request": request,
            "author": reading.person(request.user),
            "progress": progress_of(request),
        }

    def show_request(self, status: int = 200, **content: Any) -> HttpResponse:
        """Show its page, whatever page of it this is."""
        self.template = OneRequest.template
        request = self.change_request
        asked = [{"approval": each, "person": reading.person(each.user)} for each in request.approvals.all()]
        return self.show(
            status,
            differences=differences_of(request),
            conflicts=self._conflicts(),
            asked=asked,
            given=given_approvals(request),
            required=request.required_approvals,
            planned_for=planned_for(request),
            field_time=self.field_time,
            shown_time=token({"live_from": self.field_time}),
            history=history_of(request),
            allowed=Allowed(self),
            **content,
        )

    @property
    def field_time(self) -> str:
        """When it is to go live, as a field for a time has it."""
        planned = planned_for(self.change_request)
        return f"{planned.astimezone(UTC):%Y-%m-%dT%H:%M}" if planned is not None else ""

    def _conflicts(self) -> list[dict[str, Any]]:
        conflicts = find_conflicts(self.change_request)
        numbers = {conflict["original_cr_id"] for conflict in conflicts}
        titles = dict(ChangeRequest.objects.filter(pk__in=numbers).values_list("pk", "title")) if numbers else {}
        return [{**conflict, "title": titles.get(conflict["original_cr_id"], "")} for conflict in conflicts]


class Allowed:
    """Of each action why the user may not do it now: "" where they may. The API decides; this tells beforehand."""

    def __init__(self, page: OneRequest) -> None:
        self._page = page
        self._request = page.change_request
        self._is_author = page.user.pk == page.change_request.user_id
        self.has_approved = any(
            each.user_id == page.user.pk and each.approved_at is not None
            for each in page.change_request.approvals.all()
        )

    @property
    def edit(self) -> str:
        if not self._page.may("CREATE_CHANGE_REQUEST"):
            return "You need the permission to create change requests here."
        return ""

    @property
    def approve(self) -> str:
        if self._request.is_committed:
            return "It has been committed."
        if self._is_author:
            return "Nobody approves a change request of their own."
        if not self._page.may("APPROVE_CHANGE_REQUEST"):
            return "You need the permission to approve change requests here."
        return ""

    @property
    def withdraw(self) -> str:
        if self._request.is_committed:
            return "It has been committed."
        if self.edit:
            return "To withdraw an approval you need the permission to create change requests here."
        return ""

    @property
    def commit(self) -> str:
        if not self._page.may("UPDATE_FEATURE_STATE"):
            return "You need the permission to update feature states here."
        missing = missing_approvals(self._request)
        if missing:
            return f"{missing} more approval{'s are' if missing > 1 else ' is'} needed."
        return ""

    @property
    def schedule(self) -> str:
        if self.edit:
            return self.edit
        if given_approvals(self._request):
            return "It has been approved as it is. Its time can be changed once the approvals are withdrawn."
        if not self._is_author and not self._page.is_environment_admin:
            return "Its author may, or an admin of the environment."
        return ""

    @property
    def delete(self) -> str:
        if self._request.applied_at is not None:
            return "What is live stays on record."
        return self.edit


class ChangeRequestPage(OneRequest):
    """What it changes, how far it has come, and what can be done with it."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.show_request()
