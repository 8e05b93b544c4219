"""The people of a world: its organisation's members, groups and invitations, and who may do what."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any


class People(ABC):
    """A part of ``World``."""

    call: Any
    of_a: Any
    of_project: Any
    organisation: Any

    @property
    def of_organisation(self) -> str:
        return f"organisations/{self.organisation.pk}/"

    @property
    @abstractmethod
    def member(self) -> Any:
        """A member of the organisation without any permission there."""

    @cached_property
    def organisation_permission(self) -> Any:
        body = {"user": self.member.pk, "permissions": []}
        return self.call("POST", f"{self.of_organisation}user-permissions/", body)

    @cached_property
    def project_permission(self) -> Any:
        body = {"user": self.member.pk, "permissions": [], "admin": False}
        return self.call("POST", f"{self.of_project}user-permissions/", body)

    @cached_property
    def environment_permission(self) -> Any:
        body = {"user": self.member.pk, "permissions": [], "admin": False}
        return self.call("POST", f"{self.of_a}user-permissions/", body)

    @cached_property
    def group(self) -> Any:
        """A group of which ``member`` is one."""
        group = self.call("POST", f"{self.of_organisation}groups/", {"name": "g"})
        return self.call("POST", f"{self.of_group(group)}add-users/", {"user_ids": [self.member.pk]})

    def of_group(self, group: Any) -> str:
        return f"{self.of_organisation}groups/{group['id']}/"

    @cached_property
    def organisation_group_permission(self) -> Any:
        return self._group_permission(self.of_organisation)

    @cached_property
    def project_group_permission(self) -> Any:
        return self._group_permission(self.of_project)

    @cached_property
    def environment_group_permission(self) -> Any:
        return self._group_permission(self.of_a)

    def _group_permission(self, scope: str) -> Any:
        return self.call("POST", f"{scope}user-group-permissions/", {"group": self.group["id"], "permissions": []})

    @cached_property
    def invite(self) -> Any:
        return self.call("POST", f"{self.of_organisation}invites/", {"email": "invited@example.org", "role": "USER"})

    @cached_property
    def invite_link(self) -> Any:
        return self.call("POST", f"{self.of_organisation}invite-links/", {"role": "USER"})
