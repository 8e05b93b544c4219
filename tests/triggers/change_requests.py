"""The change requests of a world: drafts, scheduled ones, and one that is live."""

from functools import cached_property
from typing import Any

FAR = "2100-01-01T00:00:00Z"


class ChangeRequests:
    """A part of ``World``. All are made by its user, in environment A."""

    call: Any
    of_a: Any
    of_project: Any
    feature: Any
    split: Any
    override: Any
    segment: Any
    shares: Any

    @cached_property
    def change_request(self) -> Any:
        """It asks for ``feature`` to be on in A."""
        return self.draft()

    def draft(self, live_from: str | None = None, feature: Any = None) -> Any:
        """A request, not committed, that asks for the feature to be on in A from this time on."""
        return self.call("POST", f"{self.of_a}create-change-request/", self.change_request_body(live_from, feature))

    def change_request_body(self, live_from: str | None = None, feature: Any = None) -> Any:
        value = {"type": "unicode", "string_value": "blue"}
        pk = (feature or self.feature)["id"]
        state = {"feature": pk, "enabled": True, "feature_state_value": value, "live_from": live_from}
        return {"title": "on", "feature_states": [state]}

    def of_request(self, request: Any) -> str:
        return f"features/workflows/change-requests/{request['id']}/"

    def commit(self, request: Any) -> Any:
        return self.call("POST", f"{self.of_request(request)}commit/")

    @cached_property
    def scheduled_request(self) -> Any:
        """``change_request``, committed for a day that is far away."""
        return self.commit(self.draft(FAR))

    @cached_property
    def live_request(self) -> Any:
        """``change_request`` when it is committed, and live."""
        return self.commit(self.change_request)

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
