"""Operations of the catalogue that have the same effect at any time, and some by the ORM.

They are done within the transaction that is open in the current thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models.signals import post_save
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from projects.models import Project
from tests.operations.catalogue import BY_NAME
from tests.operations.existing_rows import ExistingRows
from tests.operations.operation import Operation

ChangedEnvironments = set[int]


@dataclass(frozen=True)
class Site:
    """A project with a feature, two segments, and an identity in each environment; and its admin."""

    admin: APIClient
    project: Project
    environments: list[Environment]
    feature: Feature

    @property
    def all_environments(self) -> ChangedEnvironments:
        return {environment.pk for environment in self.environments}


class SiteRows(ExistingRows):
    """The site's feature, in one environment."""

    def __init__(self, site: Site, environment: Environment, operation: Operation) -> None:
        feature = site.feature
        super().__init__(
            site.project, site.admin, a=Environment.objects.get(pk=environment.pk), feature=feature, split=feature
        )
        if operation.name == "feature: deleted":
            # One of those that "feature: created" has created.
            del self.feature
        self.created_features = Feature.objects.filter(project=site.project).exclude(pk=feature.pk)

    def _find(self, name: str) -> Any:
        return self.choose_from(name, self.created_features) if name == "feature" else super()._find(name)


@dataclass(frozen=True)
class SiteOperation:
    """An operation, and whether it locks all environments of its project."""

    operation: Operation
    locks_project: bool

    def __repr__(self) -> str:
        return self.operation.name

    def perform(self, site: Site, environment: Environment) -> ChangedEnvironments:
        """The environments that get an event. It changes nothing if a row that it needs is missing."""
        operation = self.operation
        rows = SiteRows(site, environment, operation)
        response = rows.perform(operation)
        changed = {"": set(), "A": {environment.pk}, "AB": site.all_environments}[operation.events]
        if response is None and operation.act is None:
            changed = set()
        elif response is not None:
            assert 400 <= response.status_code < 500 if operation.refused else response.status_code < 300 or not changed
        # The request was created for this operation, and committed.
        return {environment.pk} if "live_request" in operation.references else changed


def save_toggled(rows: ExistingRows) -> None:
    rows.state.enabled = not rows.state.enabled
    rows.state.save()


def fail_after_save(rows: ExistingRows) -> None:
    """A signal receiver fails when the state is already saved and announced: 500, and the whole request is undone."""

    def fail(**kwargs: Any) -> None:
        raise RuntimeError("a receiver that fails")

    post_save.connect(fail, sender=FeatureState)
    try:
        assert rows.perform(BY_NAME["default: on, by PATCH"]).status_code == 500
    finally:
        post_save.disconnect(fail, sender=FeatureState)


def _orm(name: str, events: str, act: Callable[[ExistingRows], None]) -> Operation:
    return Operation(name, events, act=act, given="state")


ORM = (
    _orm("ORM: default toggled", "A", save_toggled),
    _orm("ORM: default saved as it was", "", lambda rows: rows.state.save()),
    _orm("a receiver fails after the save", "", fail_after_save),
)

OF_ENVIRONMENT = (
    "default: on, by PATCH",
    "default: value",
    "default: nothing changed",
    "override: in one step",
    "override: removed",
    "override: order changed",
    "identity override: created",
    "identity override: deleted",
    "change request: committed, live now",
    "change request: deleted",
    "change request: deleted before it is due",
    "change request: due",
    "refused: half of a default's change",
    "refused: a state that does not exist",
    "refused: deletion of a live change request",
)
OF_PROJECT = (
    "environment: hide sensitive data",
    "project: hide disabled flags",
    "segment: rules",
    "segment: description",
    "segment change request: committed",
    "feature: created",
    "feature: deleted",
    "option: created",
    "option: deleted",
    "refused: a name that another feature has",
)

OPERATIONS = (
    *(SiteOperation(operation, locks_project=False) for operation in ORM),
    *(SiteOperation(BY_NAME[name], locks_project=False) for name in OF_ENVIRONMENT),
    *(SiteOperation(BY_NAME[name], locks_project=True) for name in OF_PROJECT),
)
