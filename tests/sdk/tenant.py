"""A tenant that operations are done to, and what they may choose from."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

from django.db.models import QuerySet
from hypothesis import strategies as st
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from projects.models import Project
from segments.models import Segment
from users.models import FFAdminUser

VALUES = st.sampled_from(("red", "blue", 5, 12, True, None))
PERCENTAGES = st.sampled_from((0, 20, 50))
IDENTIFIERS = ("ada", "bob")

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Tenant:
    """An organisation with a project and two environments, and its admin."""

    numbers = count()

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        number = next(self.numbers)
        user = FFAdminUser.objects.create_user(f"{number}@example.com", "pa55-word-1", first_name="A", last_name="B")
        self.organisation = Organisation.objects.create(name=f"Organisation {number}")
        UserOrganisation.objects.create(user=user, organisation=self.organisation, role=OrganisationRole.ADMIN)
        self.project = Project.objects.create(name="Project", organisation=self.organisation)
        for name in ("one", "two"):
            Environment.objects.create(name=name, project=self.project)
        self.client = APIClient(headers={"Authorization": f"Token {Token.objects.create(user=user).key}"})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call that may be refused, but not fail."""
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer = self.client.generic(method, f"/api/v1/{path}", **data)
        assert answer.status_code < 500, f"{method} {path} {body}: {answer.status_code}"
        return answer

    def environments(self) -> QuerySet[Environment]:
        return Environment.objects.filter(project=self.project)

    def pick(self, rows: QuerySet[Any]) -> Any:
        """One of the rows, or None if there is none."""
        found = list(rows.order_by("pk")[:20])
        return self.draw(st.sampled_from(found)) if found else None

    def environment(self) -> Any:
        return self.pick(self.environments())

    def feature(self) -> Any:
        return self.pick(Feature.objects.filter(project=self.project))

    def segment(self) -> Any:
        return self.pick(Segment.objects.filter(project=self.project))

    def state(self, **which: Any) -> Any:
        return self.pick(FeatureState.objects.filter(environment__project=self.project, **which))

    def identity(self) -> Any:
        return self.pick(Identity.objects.filter(environment__project=self.project))

    def option(self) -> Any:
        return self.pick(MultivariateFeatureOption.objects.filter(feature__project=self.project))

    def flag(self) -> bool:
        return bool(self.draw(st.booleans()))

    def rules(self) -> list[Any]:
        operator, value = self.draw(
            st.sampled_from(
                (("EQUAL", "pro"), ("PERCENTAGE_SPLIT", "50"), ("IS_SET", None), ("REGEX", "p.*"), ("IN", "a,pro"))
            )
        )
        condition = {"operator": operator, "property": "plan", "value": value}
        nested = [{"type": "ANY", "rules": [], "conditions": [condition]}]
        return [{"type": "ALL", "conditions": [], "rules": nested if self.flag() else []}]


def object_form(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"type": "bool", "boolean_value": value}
        case int():
            return {"type": "int", "integer_value": value}
    return {"type": "unicode", "string_value": value}
