"""The change requests of a world: drafts, scheduled ones, and one that is live."""

from functools import cached_property
from typing import Any

from django.utils import timezone
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from features.workflows.core.models import ChangeRequest, PlannedChange
from organisations.models import OrganisationRole, UserOrganisation
from users.models import FFAdminUser


class ChangeRequests:
    """A part of ``World``. All are made by its user, in environment A."""

    call: Any
    of_a: Any
    of_project: Any
    features: Any
    organisation: Any
    feature: Any
    split: Any
    override: Any
    segment: Any
    shares: Any

    @cached_property
    def change_request(self) -> Any:
        """It asks for ``feature`` to be on in A."""
        return self.call("POST", f"{self.of_a}create-change-request/", self.change_request_body())

    def change_request_body(self, live_from: str | None = None) -> Any:
        value = {"type": "unicode", "string_value": "blue"}
        state = {"feature": self.feature["id"], "enabled": True, "feature_state_value": value, "live_from": live_from}
        return {"title": "on", "feature_states": [state]}

    def of_request(self, request: Any) -> str:
        return f"features/workflows/change-requests/{request['id']}/"

    @cached_property
    def scheduled_request(self) -> Any:
        """The same, committed for a day that is far away."""
        made = self.call("POST", f"{self.of_a}create-change-request/", self.change_request_body("2100-01-01T00:00:00Z"))
        return self.call("POST", f"{self.of_request(made)}commit/")

    @cached_property
    def due_request(self) -> Any:
        """The same on that day, before the scheduler has seen to it."""
        request = self.scheduled_request
        ChangeRequest.objects.filter(pk=request["id"]).update(due_at=timezone.now())
        PlannedChange.objects.filter(change_request=request["id"]).update(live_from=timezone.now())
        return request

    @cached_property
    def due_request_without_feature(self) -> Any:
        """The same, but the feature was deleted meanwhile."""
        request = self.due_request
        self.call("DELETE", f"{self.features}{self.feature['id']}/")
        return request

    @cached_property
    def live_request(self) -> Any:
        """``change_request`` when it is committed, and live."""
        return self.call("POST", f"{self.of_request(self.change_request)}commit/")

    @cached_property
    def large_request(self) -> Any:
        """It changes the default of ``feature``, the override of it, and the percentages of ``split``."""
        value = {"type": "unicode", "string_value": "green"}
        place = {"feature": self.feature["id"], "feature_segment": self.override["feature_segment"]["id"]}
        shares: Any = self.shares(40, 10)
        states = [
            {"feature": self.feature["id"], "enabled": True},
            {**place, "enabled": False, "feature_state_value": value},
            {"feature": self.split["id"], **shares},
        ]
        return self.call("POST", f"{self.of_a}create-change-request/", {"title": "all", "feature_states": states})

    @cached_property
    def segment_request(self) -> Any:
        """A request of the project: it asks for ``segment`` to have another name and other rules."""
        return self.call("POST", f"{self.of_project}change-requests/", self.segment_request_body())

    def segment_request_body(self) -> Any:
        condition = {"operator": "EQUAL", "property": "plan", "value": "max", "description": None}
        rules = [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": [condition]}]}]
        wanted = {"name": "others", "description": "d", "version_of": self.segment["id"], "rules": rules}
        return {"title": "segment", "segments": [wanted]}

    def of_segment_request(self, request: Any) -> str:
        return f"{self.of_project}change-requests/{request['id']}/"

    @cached_property
    def approver(self) -> APIClient:
        """Another admin of the organisation."""
        other = FFAdminUser.objects.create_user("other@example.org", "pa55-word-1", first_name="O", last_name="O")
        UserOrganisation.objects.create(user=other, organisation=self.organisation, role=OrganisationRole.ADMIN)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=other).key}")
        return client
