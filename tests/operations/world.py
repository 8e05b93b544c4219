"""A project whose objects are created, by calls of the Admin API, when an operation first refers to them."""

import json
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

from rest_framework.test import APIClient

from features.models import Feature
from organisations.invites.models import Invite
from organisations.models import OrganisationRole, UserOrganisation
from tests.operations.objects import OBJECTS, rules
from tests.operations.operation import Operation, resolve
from users.models import FFAdminUser


class World(ABC):
    """A project with the environments A and B. Each name in ``OBJECTS`` is an attribute: the answer of its call.

    ``user``, ``member``, ``organisation`` and ``project`` have a ``pk``; environments also have ``name`` and
    ``api_key``.
    """

    # Values that operations set; objects are created with others.
    on = toggled = True
    off = False
    value = "blue"
    object_value = {"type": "unicode", "string_value": "blue"}
    option_value = {"type": "unicode", "string_value": "z"}
    percentage = 10
    sensitive_data_hidden = True
    disabled_flags_hidden = True
    new_name = "new"
    new_rules = rules("max")

    member: Any
    """A member of the organisation without any permission there."""

    def __init__(self, user: Any, organisation: Any, project: Any, a: Any, b: Any) -> None:
        self.user = user
        self.organisation = organisation
        self.project = project
        self.a = a
        self.b = b

    def __getattr__(self, name: str) -> Any:
        if name not in OBJECTS:
            raise AttributeError(name)
        self.__dict__[name] = self.perform(OBJECTS[name])
        return self.__dict__[name]

    @abstractmethod
    def answer(self, method: str, path: str, body: Any, key: str) -> tuple[int, bytes]:
        """Call an absolute path with a kind of key (``Operation.key``). The answer's status and body."""

    def prepare(self, operation: Operation) -> None:
        """Create the objects that the operation refers to."""
        for name in operation.given.split():
            getattr(self, name)
        if operation.call:
            operation.path(self)
            operation.content(self)

    def perform(self, operation: Operation) -> Any:
        if operation.act is not None:
            return operation.act(self)
        return self._call(
            operation.method, operation.path(self), operation.content(self), operation.key, operation.refused
        )

    def call(self, method: str, path: str, body: Any = None, key: str = "user") -> Any:
        """Call a path with references. The call succeeds; its answer is returned."""
        return self.perform(Operation("", call=f"{method} {path}", body=body, key=key))

    def _call(self, method: str, path: str, body: Any, key: str, refused: bool) -> Any:
        status, content = self.answer(method, path, body, key)
        right = range(400, 500) if refused else range(200, 300)
        assert status in right, f"{method} {path}: {status} {content[:500]!r}"
        return json.loads(content) if content else None

    # Objects that are part of another one, or need more than its call.

    @cached_property
    def state(self) -> Any:
        """The default of ``feature`` in A."""
        return self.call("GET", "environments/{a}/featurestates/?feature={feature}")["results"][0]

    @property
    def served_state(self) -> Any:
        """``state`` as a body."""
        return self.state

    @property
    def served_segment(self) -> Any:
        """``segment`` as a body."""
        return self.segment

    @cached_property
    def split_state(self) -> Any:
        return self.call("GET", "environments/{a}/featurestates/?feature={split}")["results"][0]

    @property
    def option(self) -> Any:
        return self.split["multivariate_options"][0]

    @property
    def free_segment(self) -> Any:
        """A segment that does not override ``feature`` yet."""
        return self.segment

    @cached_property
    def audit_record(self) -> Any:
        """The newest of the project; creating ``feature`` makes one."""
        assert self.feature
        return self.call("GET", "projects/{project}/audit/")["results"][0]

    # Percentages of the two options.

    @property
    def shares(self) -> Any:
        return self._shares(self.split_state, 40, 10)

    @property
    def same_shares(self) -> Any:
        return self._shares(self.split_state, 30, 20)

    @property
    def shares_over_100(self) -> Any:
        return self._shares(self.split_state, 90, 20)

    @property
    def override_shares(self) -> Any:
        return self._shares(self.split_override, 40, 10)

    def _shares(self, state: Any, *percentages: int) -> Any:
        values = zip(state["multivariate_feature_state_values"], percentages, strict=True)
        return [{**value, "percentage_allocation": percentage} for value, percentage in values]

    def resolve(self, template: Any) -> Any:
        return resolve(template, self)


class WorldInProcess(World):
    """Its objects are rows of the test's database, its client is Django REST framework's."""

    def __init__(self, user: Any, admin: APIClient, *project: Any) -> None:
        super().__init__(user, *project)
        self.admin = admin

    @cached_property
    def member(self) -> FFAdminUser:  # type: ignore[override]
        member = FFAdminUser.objects.create_user("member@example.org", "pa55-word-1", first_name="M", last_name="M")
        UserOrganisation.objects.create(user=member, organisation=self.organisation, role=OrganisationRole.USER)
        return member

    @cached_property
    def bare_feature(self) -> Feature:
        """A feature that has no state in any environment yet."""
        return Feature.objects.create(name="bare", project=self.project)

    @property
    def invite_hash(self) -> str:
        """The secret of ``invite``, which is in its mail alone."""
        return Invite.objects.get(pk=self.invite["id"]).hash

    def answer(self, method: str, path: str, body: Any, key: str) -> tuple[int, bytes]:
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer = self.admin.generic(method, path, **data)
        return answer.status_code, answer.content
