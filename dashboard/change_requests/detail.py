"""The page of one change request, and the base class of all pages about one."""

from datetime import UTC
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.change_requests import queries
from dashboard.change_requests.differences import change_sets_of, differences_of
from dashboard.change_requests.progress import given_approvals, history_of, missing_approvals, planned_for, progress_of
from dashboard.edits import encoded_digests
from dashboard.scoped_pages import EnvironmentPage
from features.workflows.core.conflicts import find_conflicts
from features.workflows.core.models import ChangeRequest


class ChangeRequestBase(EnvironmentPage):
    """A page below ``change-requests/{change_request_pk}/``."""

    template = "dashboard/change_requests/page.html"
    tab = "change-requests"

    change_request: ChangeRequest

    def load(self) -> None:
        super().load()
        found = queries.request_of(self.environment, self.kwargs["change_request_pk"])
        if found is None:
            raise Http404
        self.change_request = found

    @property
    def api_path(self) -> str:
        """Path in the Admin API."""
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
            "author": queries.display_name(request.user),
            "progress": progress_of(request),
        }

    def render_detail(self, status: int = 200, **content: Any) -> HttpResponse:
        """Render the request's own page, also from a subclass with another template."""
        self.template = ChangeRequestBase.template
        request = self.change_request
        reviewers = [{"approval": each, "person": queries.display_name(each.user)} for each in request.approvals.all()]
        return self.render(
            status,
            differences=differences_of(request),
            change_sets=change_sets_of(request),
            conflicts=self._conflicts(),
            reviewers=reviewers,
            given=given_approvals(request),
            required=request.required_approvals,
            planned_for=planned_for(request),
            time_field_value=self.time_field_value,
            time_digests=encoded_digests({"live_from": self.time_field_value}),
            history=history_of(request),
            denied=Denials(self),
            **content,
        )

    @property
    def time_field_value(self) -> str:
        """The planned time in the format of a datetime-local input."""
        planned = planned_for(self.change_request)
        return f"{planned.astimezone(UTC):%Y-%m-%dT%H:%M}" if planned is not None else ""

    @property
    def has_approved(self) -> bool:
        return any(
            each.user_id == self.user.pk and each.approved_at is not None
            for each in self.change_request.approvals.all()
        )

    def _conflicts(self) -> list[dict[str, Any]]:
        conflicts = find_conflicts(self.change_request)
        pks = {conflict["original_cr_id"] for conflict in conflicts}
        titles = dict(ChangeRequest.objects.filter(pk__in=pks).values_list("pk", "title")) if pks else {}
        return [{**conflict, "title": titles.get(conflict["original_cr_id"], "")} for conflict in conflicts]


class Denials:
    """The reasons why the user cannot use an action now, by action; "" if they can. The API checks again."""

    def __init__(self, page: ChangeRequestBase) -> None:
        self._page = page
        self._request = page.change_request
        self._is_author = page.user.pk == page.change_request.user_id

    @property
    def edit(self) -> str:
        if not self._page.has_environment_permission("CREATE_CHANGE_REQUEST"):
            return "You need the permission to create change requests here."
        return ""

    @property
    def approve(self) -> str:
        if self._request.is_committed:
            return "It has been committed."
        if self._is_author:
            return "Nobody approves a change request of their own."
        if not self._page.has_environment_permission("APPROVE_CHANGE_REQUEST"):
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
        if not self._page.has_environment_permission("UPDATE_FEATURE_STATE"):
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


class DetailPage(ChangeRequestBase):
    """Differences, progress and actions of the request."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.render_detail()
