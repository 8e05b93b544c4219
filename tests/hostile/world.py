"""The tenant of the tests of bad input: in this process, so that they can look at every row."""

import json
from functools import cached_property

from rest_framework.test import APIClient

from features.models import Feature
from organisations.invites.models import Invite
from organisations.models import OrganisationRole, UserOrganisation
from tests.triggers.world import Body, World
from users.models import FFAdminUser


class WorldInProcess(World):
    """Its objects are rows of the test's database, its client is Django REST framework's."""

    @cached_property
    def member(self) -> FFAdminUser:
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

    def answer(
        self, method: str, path: str, body: Body, client: APIClient, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer = client.generic(method, path if path.startswith("/") else f"/api/v1/{path}", headers=headers, **data)
        return answer.status_code, answer.content
