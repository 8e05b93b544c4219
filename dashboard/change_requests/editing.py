"""A change request's title, description, reviewers and time."""

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from core.locks import lock_environment
from dashboard.change_requests.page import Allowed, OneRequest
from dashboard.change_requests.reading import person
from permissions import access


class EditPage(OneRequest):
    """The form of its title, its description, and who is asked to approve it."""

    template = "dashboard/change_requests/edit.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        asked = {str(each.user_id) for each in self.change_request.approvals.all()}
        return self._form(self.change_request.title, self.change_request.description or "", asked)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        title, description = request.POST.get("title", ""), request.POST.get("description", "")
        reviewers = request.POST.getlist("reviewer")
        body: dict[str, Any] = {"title": title, "description": description}
        # Whoever approves meanwhile must not be taken off the list.
        with transaction.atomic():
            lock_environment(self.environment.pk)
            if not self.change_request.is_committed:
                body["approvals"] = [{"user": pk} for pk in dict.fromkeys([*self._approved(), *reviewers])]
            answer = self.call("PATCH", self.path, body)
        if answer.ok:
            return self.go(self.url(), "Saved.")
        return self._form(title, description, set(reviewers), status=answer.status, answer=answer)

    def _form(
        self, title: str, description: str, reviewers: set[str], *, status: int = 200, answer: Any = None
    ) -> HttpResponse:
        errors = answer.errors if answer is not None else {}
        of_reviewers = [text for name, texts in errors.items() if name.startswith("approvals") for text in texts]
        approved = {each.user_id for each in self.change_request.approvals.all() if each.approved_at is not None}
        return self.show(
            status,
            title=title,
            description=description,
            candidates=[
                {
                    "pk": user.pk,
                    "name": person(user),
                    "email": user.email,
                    "has_approved": user.pk in approved,
                    "is_asked": str(user.pk) in reviewers,
                }
                for user in self._candidates()
            ],
            errors={**errors, "reviewers": of_reviewers},
            refused=" ".join(errors.get("", ())),
            allowed=Allowed(self),
        )

    def _approved(self) -> list[str]:
        """Who has approved by now: they are asked no more, and stay."""
        approvals = self.call("GET", self.path).data["approvals"]
        return [str(each["user"]) for each in approvals if each["approved_at"] is not None]

    def _candidates(self) -> list[Any]:
        """Who may be asked: those who see the project, and whoever was asked or has approved before."""
        users = {user.pk: user for user in access.viewers(self.project).order_by("first_name", "last_name", "pk")}
        users |= {each.user_id: each.user for each in self.change_request.approvals.all()}
        return [user for user in users.values() if user.pk != self.change_request.user_id]


class Schedule(OneRequest):
    """Set when all of it goes live: at a time, or, where none is given, with the commit."""

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        wanted = request.POST.get("live_from", "").strip()
        # Its states are sent back as they were read, but for the time: nobody may change them in between.
        with transaction.atomic():
            lock_environment(self.environment.pk)
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
