"""Random operations on a tenant: those of the catalogue, and changes by the ORM."""

from collections.abc import Callable
from typing import Any

from django.db.models import Model, QuerySet
from hypothesis import strategies as st
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from organisations.models import Organisation
from projects.models import Project
from segments.models import Condition, Segment
from tests.conftest import make_organisation
from tests.operations import catalogue
from tests.operations.existing_rows import ExistingRows
from tests.operations.objects import ENVIRONMENT
from tests.operations.operation import Operation
from users.models import FFAdminUser

VALUES = st.sampled_from(("red", "blue", 5, 12, True, None))
PERCENTAGES = st.sampled_from((0, 20, 50))
CONDITIONS = st.sampled_from(
    (("EQUAL", "pro"), ("PERCENTAGE_SPLIT", "50"), ("IS_SET", None), ("REGEX", "p.*"), ("IN", "a,pro"))
)
MAX_ENVIRONMENTS = 4

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Tenant:
    """An organisation with a project and two environments."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        number = next(ExistingRows.numbers)
        user = FFAdminUser.objects.create_user(f"{number}@example.com", "pa55-word-1", first_name="A", last_name="B")
        organisation = make_organisation(f"Organisation {number}", user)
        self.project = Project.objects.create(name="Project", organisation=organisation)
        for name in ("one", "two"):
            Environment.objects.create(name=name, project=self.project)
        self.admin = APIClient(headers={"Authorization": f"Token {Token.objects.create(user=user).key}"})

    def environments(self) -> QuerySet[Environment]:
        return Environment.objects.filter(project=self.project)

    def perform(self, operation: Operation) -> None:
        """Do it on drawn rows, if there are such. The API may refuse it, but not fail."""
        number = self.environments().count()
        if (number == 1 and operation.deleted) or (number == MAX_ENVIRONMENTS and operation.name in NEW_ENVIRONMENT):
            return
        response = DrawnRows(self).perform(operation)
        assert response is None or response.status_code < 500, f"{operation}: {response.status_code}"


class DrawnRows(ExistingRows):
    """Rows and values that hypothesis draws."""

    def __init__(self, tenant: Tenant) -> None:
        super().__init__(tenant.project, tenant.admin)
        self.draw = tenant.draw

    def choose(self, rows: list[Any]) -> Any:
        return self.draw(st.sampled_from(rows))

    @property
    def on(self) -> bool:
        return bool(self.draw(st.booleans()))

    off = toggled = sensitive_data_hidden = disabled_flags_hidden = on

    @property
    def value(self) -> Any:
        return self.draw(VALUES)

    @property
    def object_value(self) -> dict[str, Any]:
        match self.draw(VALUES):
            case bool(value):
                return {"type": "bool", "boolean_value": value}
            case int(value):
                return {"type": "int", "integer_value": value}
            case value:
                return {"type": "unicode", "string_value": value}

    option_value = object_value

    @property
    def percentage(self) -> int:
        return int(self.draw(PERCENTAGES))

    @property
    def new_rules(self) -> list[dict[str, Any]]:
        operator, value = self.draw(CONDITIONS)
        condition = {"operator": operator, "property": "plan", "value": value}
        nested = [{"type": "ANY", "rules": [], "conditions": [condition]}]
        return [{"type": "ALL", "conditions": [], "rules": nested if self.on else []}]


def save_organisation(rows: DrawnRows) -> None:
    organisation = Organisation.objects.get(pk=rows.organisation.pk)
    name = rows.draw(st.sampled_from(("feature_analytics", "stop_serving_flags", "persist_trait_data")))
    setattr(organisation, name, rows.on)
    organisation.save()


def save_row(rows: DrawnRows) -> None:
    """Save a column of some row."""
    queryset, column, values = rows.draw(st.sampled_from(SAVED))
    row = rows.choose_from("row", queryset(rows.project))
    setattr(row, column, rows.draw(values))
    row.save()


def delete_row(rows: DrawnRows) -> None:
    """Delete some row, by its own ``delete()`` or by its queryset's."""
    queryset = rows.draw(st.sampled_from(DELETED))(rows.project)
    row = rows.choose_from("row", queryset)
    (row if rows.on else queryset.filter(pk=row.pk)).delete()


Rows = Callable[[Project], QuerySet[Any]]


def of_project(model: type[Model], lookup: str, **which: Any) -> Rows:
    return lambda project: model._default_manager.filter(**{lookup: project}, **which)


SAVED: tuple[tuple[Rows, str, st.SearchStrategy[Any]], ...] = (
    (of_project(FeatureState, "environment__project"), "enabled", st.booleans()),
    (
        of_project(FeatureState, "environment__project", feature_segment__isnull=False),
        "version",
        st.sampled_from((None, 1)),
    ),
    (of_project(FeatureStateValue, "feature_state__environment__project"), "value", VALUES),
    (of_project(FeatureSegment, "environment__project"), "priority", st.integers(0, 3)),
    (of_project(Condition, "rule__rule__segment__project"), "value", st.sampled_from(("x", "pro"))),
    (of_project(MultivariateFeatureOption, "feature__project"), "value", VALUES),
    (
        of_project(MultivariateFeatureStateValue, "feature_state__environment__project"),
        "percentage_allocation",
        PERCENTAGES,
    ),
    (of_project(Feature, "project"), "initial_value", st.sampled_from((None, "red"))),
    (of_project(Segment, "project"), "name", st.sampled_from(("s", "t"))),
)

DELETED: tuple[Rows, ...] = (
    of_project(FeatureState, "environment__project"),
    of_project(FeatureStateValue, "feature_state__environment__project"),
    of_project(FeatureSegment, "environment__project"),
    of_project(MultivariateFeatureOption, "feature__project"),
    of_project(MultivariateFeatureStateValue, "feature_state__environment__project"),
    of_project(Condition, "rule__rule__segment__project"),
    of_project(Segment, "project"),
    of_project(Feature, "project"),
    of_project(Identity, "environment__project"),
    of_project(EnvironmentAPIKey, "environment__project"),
)

# A tenant has one user, and a key of its own.
MISSING = {"user", "member", "group", "master_key", "bare_feature"}

OPERATIONS = (
    *(
        operation
        for operation in (
            *catalogue.DEFAULTS,
            *catalogue.FEATURE_OPERATIONS,
            *catalogue.OVERRIDES,
            *catalogue.SEGMENTS,
            *catalogue.IDENTITIES,
            *catalogue.ENVIRONMENTS,
            *catalogue.PROJECTS,
            *catalogue.CHANGE_REQUEST_OPERATIONS,
            catalogue.BY_NAME["organisation: name"],
        )
        if operation.key in ("user", "sdk") and not operation.references & MISSING
    ),
    Operation("environment: key", call=f"PATCH {ENVIRONMENT}", body={"api_key": "{new_name}"}),
    Operation("ORM: organisation saved", act=save_organisation),
    Operation("ORM: row saved", act=save_row),
    Operation("ORM: row deleted", act=delete_row),
)
NEW_ENVIRONMENT = {"environment: created", "environment: cloned"}

# The objects that most operations need.
BEGINNING = tuple(
    catalogue.BY_NAME[name]
    for name in (
        "feature: created",
        "feature: created with two options",
        "segment: created",
        "override: in one step",
        "identity: created",
        "identity override: created",
    )
)
