"""A world on a running server: the first environment of a ``Tenant``, or a given one."""

from types import SimpleNamespace
from typing import Any

from tests.operations.world import World
from tests.support.api import AdminAPI, EnvironmentOfTenant, Tenant


class TenantWorld(World):
    """A tenant's project. It has no environment B, and calls are made with the tenant's client or a given one."""

    def __init__(
        self, tenant: Tenant, environment: EnvironmentOfTenant | None = None, api: AdminAPI | None = None
    ) -> None:
        environment = environment or tenant.environment
        a = SimpleNamespace(api_key=environment.key, pk=environment.id)
        super().__init__(None, None, SimpleNamespace(pk=tenant.project), a, None)
        self.api = api or tenant.api

    def answer(self, method: str, path: str, body: Any, key: str) -> tuple[int, bytes]:
        response = self.api.response(method, path, body)
        return response.status_code, response.content
