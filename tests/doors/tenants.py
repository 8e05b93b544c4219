"""The environments that the table's requests are for, created once, and their keys by name."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.doors.table import KNOWN, TRAITS, UNICODE
from tests.support.api import AdminAPI, EnvironmentOfTenant, Tenant, text

# Long ago, and without silent changes since: so documents have a ``Last-Modified`` that is not in the future.
SETTLE = """UPDATE environments_environment
SET updated_at = '2026-01-01 12:00:00.123456', last_modified = 1767268800, revision = revision + 1000"""
STOP = "UPDATE organisations_organisation SET stop_serving_flags = 1 WHERE id = ?"

STORED_BY_REQUESTS = ("traits_trait", "identities_identity")


@dataclass(frozen=True)
class Tenants:
    database: Path
    keys: dict[str, str]
    """``shop`` is the client-side key of the environment ``shop``, ``ser.shop`` its server-side key."""
    served: tuple[EnvironmentOfTenant, ...]
    """Those of organisations that are served: the relay's. It would try again and again to fetch others."""

    newest: tuple[tuple[str, int], ...]
    """The highest primary keys of stored traits and identities."""

    def forget(self) -> None:
        """Delete the identities and traits that a request has stored, so that the next one creates equal rows."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            for table, newest in self.newest:
                connection.execute(f"DELETE FROM {table} WHERE id > ?", (newest,))  # noqa: S608
                connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (newest, table))


def create(url: str, database: Path) -> Tenants:
    api = AdminAPI.registered(url)
    shop = _with_flags(Tenant.create(api, ("shop", "closed")))
    closed = shop.environments[1]
    api.patch(f"environments/{closed.key}/", hide_disabled_flags=True, allow_client_traits=False)
    quiet, stopped = Tenant.create(api, ("quiet",)), Tenant.create(api, ("stopped",))
    api.patch(f"projects/{quiet.project}/", enable_realtime_updates=False)
    for tenant in (quiet, stopped):
        tenant.add_feature("on", default_enabled=True)
    environments = (*shop.environments, quiet.environment, stopped.environment)
    keys = {name: key for each in environments for name, key in _keys(each)} | {"nobody": "nobody"}
    for environment in (shop.environment, closed):
        traits = TRAITS if environment is shop.environment else []
        for identifier in (KNOWN, UNICODE):
            body = {"identifier": identifier, "traits": traits if identifier == KNOWN else []}
            api.send("POST", "identities/", body, {"X-Environment-Key": keys["ser." + environment.name]})
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(STOP, (stopped.organisation,))
        connection.execute(SETTLE)
        newest = tuple(
            (table, connection.execute(f"SELECT max(id) FROM {table}").fetchone()[0])  # noqa: S608
            for table in STORED_BY_REQUESTS
        )
    return Tenants(database, keys, environments[:-1], newest)


def _keys(environment: EnvironmentOfTenant) -> list[tuple[str, str]]:
    return [(environment.name, environment.key), (f"ser.{environment.name}", environment.server_key)]


def _with_flags(tenant: Tenant) -> Tenant:
    """Flags of all kinds, enough of them that answers are compressed."""
    tenant.add_feature("on", default_enabled=True)
    tenant.add_feature("off", initial_value="hidden")
    tenant.add_feature("empty")
    tenant.add_feature("text", initial_value="für Ünï \u2028 'x'", default_enabled=True)
    tenant.add_feature("secret", default_enabled=True, is_server_key_only=True)
    for name, value in (("number", 42), ("boolean", False)):
        feature = tenant.add_feature(name, default_enabled=True)
        for environment in tenant.environments:
            tenant.change(feature["id"], environment, feature_state_value=value)
    options: list[dict[str, Any]] = [
        {"type": "unicode", "string_value": name, "default_percentage_allocation": 40} for name in ("red", "blue")
    ]
    tenant.add_feature(
        "split", type="MULTIVARIATE", initial_value="none", default_enabled=True, multivariate_options=options
    )
    banner = tenant.add_feature("banner", initial_value="plain", default_enabled=True)["id"]
    condition = {"operator": "REGEX", "property": "plan", "value": "^(pro|max)\\d*$"}
    rules = [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "rules": [], "conditions": [condition]}]}]
    segment = tenant.api.post(f"projects/{tenant.project}/segments/", name="paying", rules=rules)["id"]
    tenant.override(banner, segment, feature_state_value=text("for those who pay"))
    identities = f"environments/{tenant.environment.key}/identities/"
    ada = tenant.api.post(identities, identifier=KNOWN)
    tenant.api.post(
        f"{identities}{ada['id']}/featurestates/", feature=banner, enabled=False, feature_state_value="for ada"
    )
    return tenant
