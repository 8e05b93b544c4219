"""Forms that change a change request's title, description and reviewers, and the time when it goes live."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse

from dashboard.api import APIResponse
from dashboard.change_requests.detail import ChangeRequestBase, Denials
from dashboard.change_requests.queries import display_name
from dashboard.edits import Edit, Field, describe_field, encoded_digests, named, unix_lines
from features.workflows.core.models import ChangeRequestApproval
from projects.access import viewers


class EditPage(ChangeRequestBase):
    """The form for title, description and reviewers."""

    template = "dashboard/change_requests/edit.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self._render_form(self.stored)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        with self.locked_environment():
            self.load()
            stored = self.stored
            # Reviewers who have approved have a disabled checkbox, which browsers do not send. They stay.
            approved = {str(each.user_id) for each in self._approvals if each.approved_at is not None}
            typed = {
                "title": request.POST.get("title", ""),
                "description": unix_lines(request.POST.get("description", "")),
                "approvals": sorted(approved.union(request.POST.getlist("reviewer"))),
            }
            if self.change_request.is_committed:
                typed["approvals"] = stored["approvals"]
            edit = Edit(request.POST, stored=stored, typed=typed)
            body = {**typed, "approvals": [{"user": pk} for pk in typed["approvals"]]}
            response = self.save(self.api_path, edit, self._describe, body=body)
        if response.ok:
            return self.redirect(self.url(), "Saved.")
        return self._render_form(edit.merged, status=response.status, response=response)

    @property
    def stored(self) -> dict[str, Any]:
        return {
            "title": self.change_request.title,
            "description": unix_lines(self.change_request.description or ""),
            "approvals": sorted(str(each.user_id) for each in self._approvals),
        }

    @property
    def _approvals(self) -> list[ChangeRequestApproval]:
        return list(self.change_request.approvals.all())

    def _describe(self, name: str) -> Field:
        if name == "approvals":
            names = {str(user.pk): display_name(user) for user in self._candidates()}
            return describe_field("The list of who is asked", self.stored[name], lambda pks: named(pks, names))
        return describe_field(f"The {name}", self.stored[name])

    def _render_form(self, values: Mapping[str, Any], *, status: int = 200, response: Any = None) -> HttpResponse:
        errors = response.errors if response is not None else {}
        reviewer_errors = [text for name, texts in errors.items() if name.startswith("approvals") for text in texts]
        approved = {each.user_id for each in self.change_request.approvals.all() if each.approved_at is not None}
        return self.render(
            status,
            title=values["title"],
            description=values["description"],
            digests=encoded_digests(self.stored),
            candidates=[
                {
                    "pk": user.pk,
                    "name": display_name(user),
                    "email": user.email,
                    "has_approved": user.pk in approved,
                    "is_asked": str(user.pk) in values["approvals"],
                }
                for user in self._candidates()
            ],
            errors={**errors, "reviewers": reviewer_errors},
            error=" ".join(errors.get("", ())),
            denied=Denials(self),
        )

    def _candidates(self) -> list[Any]:
        """Possible reviewers: users who may see the project, and all present reviewers."""
        users = {user.pk: user for user in viewers(self.project).order_by("first_name", "last_name", "pk")}
        users |= {each.user_id: each.user for each in self.change_request.approvals.all()}
        return [user for user in users.values() if user.pk != self.change_request.user_id]


class Schedule(ChangeRequestBase):
    """Set the time when all states go live. Without a time they go live with the commit."""

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        live_from = request.POST.get("live_from", "").strip()
        # The PATCH sends states and change sets back as they were read, so they must not change in between.
        with self.locked_environment():
            self.load()
            stored = {"live_from": self.time_field_value}
            edit = Edit(request.POST, stored=stored, typed={"live_from": live_from})
            live_from = edit.merged["live_from"]
            reason = edit.conflict_message(lambda name: describe_field("The time", stored[name]))
            if reason:
                response = APIResponse(409, {"live_from": [reason]})
            else:
                stored_request = self.call("GET", self.api_path).data
                rescheduled = {
                    name: [{**each, "live_from": live_from or None} for each in stored_request[name]]
                    for name in ("feature_states", "change_sets")
                }
                response = self.call("PATCH", self.api_path, rescheduled)
        if response.ok:
            return self.redirect(self.url(), "Its time is set." if live_from else "It goes live with the commit.")
        errors = response.errors
        time_errors = list(
            dict.fromkeys(text for name in errors if name.endswith("live_from") for text in errors[name])
        )
        if not time_errors:
            return self.redirect(self.url(), error=response.message)
        return self.render_detail(response.status, time_error=" ".join(time_errors), typed_time=live_from)
