"""Flagsmith's table of admin actions, row by row in our words: which cases hold each, or why there is none.

A name may end in a star. One is that of a test of its own.

Whether an action is an event stands in its cases; where that is not what Flagsmith does,
docs/decisions/0001-what-makes-an-event.md says why.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from tests.triggers import flag_cases, segment_cases, tenant_cases, workflow_cases
from tests.triggers.case import Case

CASES = (
    *flag_cases.DEFAULTS,
    *flag_cases.FEATURES,
    *segment_cases.OVERRIDES,
    *segment_cases.SEGMENTS,
    *tenant_cases.IDENTITIES,
    *tenant_cases.ENVIRONMENTS,
    *tenant_cases.PROJECT,
    *tenant_cases.ORGANISATION,
    *workflow_cases.CHANGE_REQUESTS,
    *tenant_cases.REFUSED,
)

SILENT_WHEN_DUE = "test_change_requests__that_must_not_go_live__silent_until_one_that_is_due_after_them"

ROWS: dict[str, tuple[str, ...]] = {
    # Environments' defaults.
    "a default is turned on or off": ("default: on*", "default: by a master API key"),
    "a default gets another value": ("default: value*", "default: on and value*"),
    "a default is saved as it was": ("default: nothing changed*", "default: percentages, nothing changed"),
    "percentages of a default": ("default: percentages", "default: on, value and percentages in one call"),
    # Features.
    "a feature is created": ("feature: created*",),
    "a feature's name, description, type, archiving, or being for servers only": (
        "feature: description",
        "feature: type",
        "feature: archived",
        "feature: for servers only",
        "feature: name and defaults, which are read-only",
        "feature: nothing changed",
    ),
    "a feature's tags, owners and groups of owners": ("feature: tags", "feature: owner *", "group: owns a feature"),
    "a feature's groups of owners": ("group: owns a feature",),
    "a tag is created, edited or deleted": ("tag: *",),
    "a feature is deleted": ("feature: deleted*",),
    "a multivariate option is created": ("option: created", "option: the first of its feature"),
    "a multivariate option is deleted": ("option: deleted",),
    "a multivariate option's value or default percentage": (
        "option: value",
        "option: default percentage",
        "option: nothing changed",
    ),
    # Segment overrides.
    "the first of an override's two steps alone": (
        "override: feature segment alone",
        "override: feature segment without a state removed",
    ),
    "an override is made, enabled unlike the default": (
        "override: second step, another enabled",
        "override: second step, both",
        "override: in one step",
    ),
    "an override is made, with a value of its own": ("override: second step, another value",),
    "an override is made that says what the default does": (
        "override: second step, as the default is",
        "override: in one step, as the default is",
    ),
    "an override's state, value or percentages": (
        "override: enabled*",
        "override: value",
        "override: percentages",
        "override: nothing changed*",
    ),
    "an override is removed": ("override: removed",),
    "overrides are put into another order": ("override: order *",),
    "an override's place alone, by the end points of the command line": ("override: its place alone*",),
    # Segments.
    "a segment is created or cloned": ("segment: created", "segment: cloned"),
    "a segment's rules, name or description": (
        "segment: rules",
        "segment: name*",
        "segment: description",
        "segment: nothing changed*",
    ),
    "a segment is deleted, with its overrides": ("segment: deleted*",),
    "a segment's draft": ("segment change request: created", "segment change request: edited"),
    # Identities.
    "an identity's override is made, changed or deleted": ("identity override: *",),
    "identities and traits, by admins and by SDKs": ("identity: *", "trait: *", "SDK: *"),
    # Environments and projects.
    "an environment is created": ("environment: created",),
    "an environment's settings": (
        "environment: name",
        "environment: hide *",
        "environment: client traits",
        "environment: hashing",
        "environment: identity overrides in local evaluation",
        "environment: two settings in one call",
        "environment: description",
        "environment: banner",
        "environment: approvals",
        "environment: *nothing changed",
    ),
    "an environment is cloned": ("environment: cloned",),
    "an environment is deleted": ("environment: deleted",),
    "a project's settings, real time among them": ("project: *",),
    "organisations, keys, permissions and people": (
        "organisation: *",
        "server key: *",
        "permission: *",
        "group: *",
        "invitation: *",
        "user: *",
    ),
    "webhooks": ("webhook: *",),
    # Change requests.
    "a change request is created, edited, approved or deleted": (
        "change request: created",
        "change request: edited",
        "change request: approved",
        "change request: deleted",
        "segment change request: approved",
    ),
    "the states that wait in a draft": ("change request: created", SILENT_WHEN_DUE),
    "a change request is committed, and live now": (
        "change request: committed, live now",
        "change request: default, override and percentages live now",
    ),
    "a change request is committed for later, and its time comes": (
        "change request: committed for later",
        "change request: its time has come",
    ),
    "a scheduled change request is deleted, or has nothing to change any more": (
        "change request: deleted before its time",
        SILENT_WHEN_DUE,
    ),
    "a project's change request of a segment is committed": ("segment change request: committed",),
    # Calls that fail.
    "a call is refused": ("refused: *",),
}

NOT_HERE = {
    "a state in a draft of versioning v2": "the product has no versioning v2",
    "a version of versioning v2 is published, now or for later": "the product has no versioning v2",
    "a change set of versioning v2 is committed": "the product has no versioning v2",
    "versioning v2 is turned on or off": "the product has no versioning v2",
    "a feature's metadata": "the product has none",
    "a system segment, or a revision of a segment": "the product keeps none",
    "an override of an edge identity": "the product has no edge",
    "imports, feature health, release pipelines, experiments and metrics": "the product has none of them",
}
"""Rows without a case, and why."""


def cases_of(names: Iterable[str]) -> list[Case]:
    """The cases that have these names, or names like these."""
    return [case for case in CASES if any(fnmatchcase(str(case), name) for name in names)]
