"""Changes in Flagsmith that SDKs see: those of ``tests.e2e.changes`` that Flagsmith announces, and two more."""

from tests.e2e.changes import CHANGES as OURS
from tests.e2e.changes import FEATURE, Act, Change, banner
from tests.support.api import Tenant


def created(tenant: Tenant) -> Act:
    tenant.add_feature("other")
    return lambda: banner(tenant)


def deleted(tenant: Tenant) -> Act:
    feature = banner(tenant)
    return lambda: tenant.api.delete(f"projects/{tenant.project}/features/{feature}/")


# A feature that does not exist, by the defaults of the tests' SDK clients: off, without a value.
ABSENT = (False, None)

# Flagsmith announces no change of a multivariate option.
SILENT = {"multivariate option"}

CHANGES = {name: change for name, change in OURS.items() if name not in SILENT} | {
    "feature created": Change(created, ABSENT, (False, "old")),
    "feature deleted": Change(deleted, (False, "old"), ABSENT),
}

__all__ = ["ABSENT", "CHANGES", "FEATURE", "Change"]
