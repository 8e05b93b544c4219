"""A change request's title, description, reviewers and time."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse

from dashboard.api import Answer
from dashboard.change_requests.page import Allowed, OneRequest
from dashboard.change_requests.reading import person
from dashboard.edits import Edit, described, token, unix_lines
from features.workflows.core.models import ChangeRequestApproval
from projects.access import viewers


class EditPage(OneRequest):
    """The form of its title, its description, and who is asked to approve it."""

    template = "dashboard/change_requests/edit.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self._form(self.stored)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        with self.locked_environment():
            self.enter()
            stored = self.stored
            # Those who have approved are asked no more, and stay.
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
            answer = self.save(self.path, edit, self._describe, body=body)
        if answer.ok:
            return self.go(self.url(), "Saved.")
        return self._form(edit.merged, status=answer.status, answer=answer)

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

    def _describe(self, name: str) -> str:
        if name == "approvals":
            return described("The list of who is asked", [person(each.user) for each in self._approvals])
        return described(f"The {name}", self.stored[name])

    def _form(self, form: Mapping[str, Any], *, status: int = 200, answer: Any = None) -> HttpResponse:
        errors = answer.errors if answer is not None else {}
        of_reviewers = [text for name, texts in errors.items() if name.startswith("approvals") for text in texts]
        approved = {each.user_id for each in self.change_request.approvals.all() if each.approved_at is not None}
        return self.show(
            status,
            title=form["title"],
            description=form["description"],
            shown=token(self.stored),
            candidates=[
                {
                    "pk": user.pk,
                    "name": person(user),
                    "email": user.email,
                    "has_approved": user.pk in approved,
                    "is_asked": str(user.pk) in form["approvals"],
                }
                for user in self._candidates()
            ],
            errors={**errors, "reviewers": of_reviewers},
            refused=" ".join(errors.get("", ())),
            allowed=Allowed(self),
        )

    def _candidates(self) -> list[Any]:
        """Who may be asked: those who see the project, and whoever was asked or has approved before."""
        users = {user.pk: user for user in viewers(self.project).order_by("first_name", "last_name", "pk")}
        users |= {each.user_id: each.user for each in self.change_request.approvals.all()}
        return [user for user in users.values() if user.pk != self.change_request.user_id]


class Schedule(OneRequest):
    """Set when all of it goes live: at a time, or, where none is given, with the commit."""

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        wanted = request.POST.get("live_from", "").strip()
        # Its states are sent back as they were read, but for the time: nobody may change them in between.
        with self.locked_environment():
            self.enter()
            time = {"live_from": self.field_time}
            conflict = Edit(request.POST, stored=time, typed={"live_from": wanted}).refusal(
                lambda name: described("The time", time[name])
            )
            if conflict:
                answer = Answer(409, {"live_from": [conflict]})
            else:
                states = self.call("GET", self.path).data["feature_states"]
                moved = [{**state, "live_from": wanted or None} for state in states]
                answer = self.call("PATCH", self.path, {"feature_states": moved})
        if answer.ok:
            return self.go(self.url(), "Its time is set." if wanted else "It goes live with the commit.")
        errors = answer.errors
        of_time = list(dict.fromkeys(text for name in errors if name.endswith("live_from") for text in errors[name]))
        if not of_time:
            return self.go(self.url(), refused=answer.message)
        return self.show_request(answer.status, wrong_time=" ".join(of_time), typed_time=wanted)
