"""Rows that exist already, in place of an operation's references: for operations in any order."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from features.workflows.core import scheduler
from features.workflows.core.models import ChangeRequest, PlannedChange
from projects.models import Project
from segments.models import Segment
from tests.operations.objects import DEFAULT, OBJECTS, SEGMENT, rules
from tests.operations.operation import Operation, resolve

IN_ENVIRONMENT = {"a": "environment", "feature": "feature"}
OF_SPLIT = {"a": "environment", "split": "feature"}


def _states(**which: Any) -> Callable[[Project], QuerySet[Any]]:
    return lambda project: FeatureState.objects.filter(environment__project=project, **which)


_defaults = {"identity": None, "feature_segment": None, "version__isnull": False}
_split = {"multivariate_feature_state_values__isnull": False}
_overrides = {"feature_segment__isnull": False}

KINDS: dict[str, tuple[Callable[[Project], QuerySet[Any]], dict[str, str]]] = {
    "identity_override": (_states(identity__isnull=False), {"identity": "identity", **IN_ENVIRONMENT}),
    "split_override": (_states(**_overrides, **_split), OF_SPLIT),
    "override": (
        lambda project: _states(**_overrides)(project).order_by("feature_segment__priority"),
        {"segment": "feature_segment__segment", **IN_ENVIRONMENT},
    ),
    "feature_segment": (
        lambda project: FeatureSegment.objects.filter(environment__project=project, feature_states=None),
        {"segment": "segment", **IN_ENVIRONMENT},
    ),
    "split_state": (_states(**_defaults, **_split), OF_SPLIT),
    "state": (_states(**_defaults), IN_ENVIRONMENT),
    "option": (
        lambda project: MultivariateFeatureOption.objects.filter(feature__project=project),
        {"split": "feature"},
    ),
    "trait": (
        lambda project: Trait.objects.filter(identity__environment__project=project),
        {"identity": "identity", "a": "identity__environment"},
    ),
    "identity": (lambda project: Identity.objects.filter(environment__project=project), {"a": "environment"}),
    "other_identity": (lambda project: Identity.objects.filter(environment__project=project), {"a": "environment"}),
    "segment": (lambda project: Segment.objects.filter(project=project), {}),
    "feature": (lambda project: Feature.objects.filter(project=project), {}),
    "split": (lambda project: Feature.objects.filter(project=project), {}),
    "a": (lambda project: Environment.objects.filter(project=project), {}),
}
"""The rows of each reference, and the references to which these rows lead. The most specific kinds come first."""


class MissingRowError(LookupError):
    """There is no row that an operation's reference can stand for."""


class ExistingRows:
    """The rows for one operation. Each is chosen at the first reference; the later ones go with it.

    Objects of other kinds, such as change requests, are created.
    """

    numbers = count()
    on = True
    off = False

    def __init__(self, project: Project, admin: APIClient, **chosen: Any) -> None:
        self.project = Project.objects.get(pk=project.pk)
        self.organisation = self.project.organisation
        self.admin = admin
        self.__dict__ |= chosen

    def choose(self, rows: list[Any]) -> Any:
        return rows[0]

    def __getattr__(self, name: str) -> Any:
        if name in KINDS:
            return self._find(name)
        if name not in OBJECTS:
            raise AttributeError(name)
        answer = self.perform(OBJECTS[name])
        if answer is None or answer.status_code >= 400:
            raise MissingRowError(name)
        self.__dict__[name] = answer.json()
        return self.__dict__[name]

    def _find(self, name: str) -> Any:
        rows, related = KINDS[name]
        known = {lookup: self.__dict__[other] for other, lookup in related.items() if other in self.__dict__}
        found = self.choose_from(name, rows(self.project).filter(**known))
        for other, lookup in related.items():
            row = found
            for step in lookup.split("__"):
                row = getattr(row, step)
            self.__dict__[other] = row
        return found

    def choose_from(self, name: str, rows: QuerySet[Any]) -> Any:
        """Choose one of these rows for the reference."""
        found = list(rows.order_by(*rows.query.order_by, "pk").distinct()[:20])
        if not found:
            raise MissingRowError(name)
        self.__dict__[name] = self.choose(found)
        return self.__dict__[name]

    def perform(self, operation: Operation) -> Any:
        """Do it. The response of a call, or None if a row is missing."""
        try:
            for name in KINDS:
                if name in operation.references:
                    getattr(self, name)
            if operation.act is not None:
                return operation.act(self)
            path, body = operation.path(self), operation.content(self)
        except MissingRowError:
            return None
        return self.call(operation.method, path, body, operation.key)

    def call(self, method: str, path: str, body: Any = None, key: str = "user") -> Any:
        client = APIClient(headers={"X-Environment-Key": self.a.api_key}) if key == "sdk" else self.admin
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return client.generic(method, path, **data)

    def _served(self, path: str) -> Any:
        return self.call("GET", resolve(f"/api/v1/{path}", self)).json()

    # Values that differ from the present ones.

    @property
    def new_name(self) -> str:
        return f"new-{next(self.numbers)}"

    value = new_name

    @property
    def object_value(self) -> dict[str, Any]:
        return {"type": "unicode", "string_value": self.new_name}

    option_value = object_value
    percentage = 0

    @property
    def new_rules(self) -> Any:
        return rules(self.new_name)

    @property
    def toggled(self) -> bool:
        return not self.state.enabled

    @property
    def sensitive_data_hidden(self) -> bool:
        return not self.a.hide_sensitive_data

    @property
    def disabled_flags_hidden(self) -> bool:
        return not self.project.hide_disabled_flags

    # The present values.

    @property
    def served_state(self) -> Any:
        return self._served(DEFAULT)

    @property
    def served_segment(self) -> Any:
        return self._served(SEGMENT)

    @property
    def same_shares(self) -> Any:
        return self._shares(self.split_state)

    # Objects that depend on others.

    @property
    def free_segment(self) -> Any:
        taken = FeatureSegment.objects.filter(environment=self.a, feature=self.feature).values("segment")
        return self.choose_from("free_segment", self.project.segments.exclude(pk__in=taken))

    @property
    def other_override(self) -> Any:
        others = FeatureState.objects.filter(
            environment=self.a, feature=self.feature, feature_segment__isnull=False
        ).exclude(pk=self.override.pk)
        return self.choose_from("other_override", others.order_by("feature_segment__priority"))

    @property
    def shares(self) -> Any:
        return [{**share, "percentage_allocation": self.percentage} for share in self._shares(self.split_state)]

    @property
    def override_shares(self) -> Any:
        return [{**share, "percentage_allocation": self.percentage} for share in self._shares(self.split_override)]

    def _shares(self, state: FeatureState) -> list[dict[str, Any]]:
        return [
            {
                "id": share.pk,
                "multivariate_feature_option": share.multivariate_feature_option_id,
                "percentage_allocation": share.percentage_allocation,
            }
            for share in state.multivariate_feature_state_values.all()
        ]

    def make_due(self, request: Any) -> None:
        """Let the scheduler apply a change request now."""
        now = timezone.now()
        ChangeRequest.objects.filter(pk=request["id"]).update(due_at=now)
        PlannedChange.objects.filter(change_request=request["id"]).update(live_from=now)
        assert scheduler.publish_next()
