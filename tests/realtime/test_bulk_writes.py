"""Every bulk write to a watched model is announced, or excepted with a reason (``EXCEPTIONS``).

If the reason is that the callers announce, the tests of triggers check that they do.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import Model

from realtime.changes.triggers import WATCHED
from realtime.conf import conf
from tests.realtime.bulk_writes import Finding, Labels, Models, Module
from tests.support.programs import ROOT

EXCEPTIONS = {
    "realtime/hosts.py EmbeddedHost._raise": "writes the versions themselves",
    "realtime/changes/versions.py _doubt_after_rollback": "execute wrapper: passes statements on",
    "environments/models.py ReservedKey.reserve": "reserved keys, which SDKs do not read",
    "environments/models.py EnvironmentQuerySet.bulk_create": "override that calls the ORM's method",
    "environments/models.py EnvironmentQuerySet.update": "the same",
    "realtime/detached/command.py main": "runs a command",
    "realtime/serving/command_line.py execute": "runs a command",
    "realtime/serving/command_line.py problem_of_database": "reads",
    "realtime/relay/redis_storage.py RedisStorage.hold": "runs commands of Redis",
    "realtime/relay/redis_storage.py RedisStorage.held_by_others": "the same",
    # Announced by the callers, or by the signals of another row.
    "features/defaults.py create_default_states": "of a new feature or a new environment, whose own row announces",
    "features/defaults.py _create_multivariate_values": "the same",
    "features/multivariate/services.py create_options": "of a new feature, whose own row announces",
    "features/multivariate/services.py _add_default_shares": "its row announces; of many, the caller",
    "features/services.py delete_feature": "the feature's own row announces, in the same transaction",
    "features/feature_states/services.py remove_states": "the caller announces, or SDKs cannot read it",
    "features/copies.py _copy_feature_segments": "of a new environment, whose own row announces",
    "features/copies.py _copy_states": "the same",
    "environments/services.py empty": "of environments that go, whose streams end",
    "features/removal.py empty_environments": "the same",
    "features/removal.py empty_projects": "of projects that go, whose streams end",
    "segments/signals.py empty_projects": "the same",
    "features/removal.py empty_segments": "the segment's own row announces, in the same transaction",
    "segments/trees.py write": "of a new segment, whose own row announces; of others, update_segment",
    "segments/trees.py clear": "update_segment announces, if SDKs would read another tree",
    # Not read by SDKs.
    "features/feature_segments/services.py add_feature_segments": "without a state it overrides nothing yet",
    "features/workflows/core/drafts.py write_drafts": "drafts",
    "features/workflows/core/drafts.py _update": "drafts",
    "features/workflows/core/drafts.py _write_shares": "drafts",
    "sdk/identify.py _lock_identities": "identities without overrides are in no environment document",
    # Other tables, or no table.
    "app_analytics/store.py _upsert": "counts of usage",
    "realtime/bus/postgres.py PostgresBus.write": "notifies",
    "realtime/compat/psycopg2.py Psycopg2Connection.send_query": "listens",
    "realtime/flagsmith/late_writes.py Rewriter.__call__": "executes Flagsmith's own statements",
    "realtime/posted_versions/sql.py SQLStore.store_newer": "posted versions, which queue_change.store publishes",
    "realtime/prepared.py rows": "reads",
    "webhooks/signals.py feature_state": "a dict",
    "webhooks/signals.py share": "a dict",
}


def watched() -> Labels:
    """The models of ``WATCHED``, the environment model and the app's own table."""
    return frozenset({*(watch.model for watch in WATCHED), conf.ENVIRONMENT_MODEL, "realtime.ExternalEnvironment"})


def label(model: type[Model]) -> str:
    return f"{model._meta.app_label}.{model.__name__}"


def project_models() -> Models:
    by_class: dict[str, set[str]] = {}
    by_accessor: dict[str, set[str]] = {}
    for model in apps.get_models():
        by_class.setdefault(model.__name__, set()).add(label(model))
        for relation in model._meta.related_objects:
            if accessor := relation.get_accessor_name():
                by_accessor.setdefault(accessor, set()).add(label(relation.related_model))
    return Models(
        {name: frozenset(labels) for name, labels in by_class.items()},
        {name: frozenset(labels) for name, labels in by_accessor.items()},
        {label(model): frozenset(model._meta._forward_fields_map) for model in apps.get_models()},
    )


def sources() -> Iterator[Path]:
    """The source files of the project's apps and settings, without migrations."""
    folders = {Path(config.path) for config in apps.get_app_configs()} | {ROOT / "settings"}
    own = {folder for folder in folders if folder.is_relative_to(ROOT) and ".venv" not in folder.parts}
    files = {file for folder in own for file in folder.rglob("*.py")}
    return (file for file in sorted(files) if "migrations" not in file.parts)


def findings() -> list[Finding]:
    models, labels = project_models(), watched()
    return [
        finding
        for file in sources()
        for finding in Module(str(file.relative_to(ROOT)), file.read_text(), models, labels).findings()
    ]


def test_bulk_writes__of_watched_models__announced_or_excepted() -> None:
    found = findings()
    assert [str(finding) for finding in found if finding.location not in EXCEPTIONS] == []
    assert set(EXCEPTIONS) - {finding.location for finding in found} == set(), "exceptions that are not needed"


HEAD = """
from features.models import FeatureState, Feature
from realtime.changes import versions
LIVE = FeatureState.objects.filter(version__isnull=False)
"""

UNANNOUNCED = {
    "a manager's": """
def write(states):
    FeatureState.objects.bulk_create(states)
""",
    "a query set's": """
def write():
    FeatureState.objects.filter(enabled=False).exclude(pk=1).update(enabled=True)
""",
    "a related manager's": """
def write(feature):
    feature.feature_states.all().update(enabled=True)
""",
    "a variable's": """
def write(states):
    rows = FeatureState.objects.filter(pk__in=states)
    rows._raw_delete(rows.db)
""",
    "a module's variable's": """
def write():
    LIVE.filter(pk=1).update(enabled=True)
""",
    "a loop's": """
def write():
    for rows in (Tag.objects.all(), FeatureState.objects.all()):
        rows._raw_delete(rows.db)
""",
    "an argument's": """
def write(states: QuerySet[FeatureState]):
    states.update(enabled=True)
""",
    "a function's": """
def states() -> QuerySet[FeatureState]:
    return LIVE
def write():
    states().update(enabled=True)
""",
    "a label's": """
def write():
    model = apps.get_model("features.FeatureState")
    model.objects.update(enabled=True)
""",
    "a method's": """
class Service:
    def write(self):
        FeatureState.objects.bulk_update([], ["enabled"])
""",
    "an unknown model's": """
def write(rows):
    rows.update(enabled=True)
""",
    "raw SQL": """
def write(cursor):
    cursor.execute("UPDATE features_featurestate SET enabled = true")
""",
    "raw SQL from a variable": """
def write(cursor, statement):
    cursor.execute(statement)
""",
    "raw SQL of a manager": """
def write():
    return list(FeatureState.objects.raw("DELETE FROM features_featurestate RETURNING *"))
""",
    "announced too late": """
def write(states):
    FeatureState.objects.bulk_create(states)
    versions.announce([1])
""",
    "a helper with one caller that does not announce": """
def _write(states):
    FeatureState.objects.bulk_create(states)
def announced():
    versions.announce([1])
    _write([])
def unannounced():
    _write([])
""",
    "a helper without callers": """
def _write(states):
    FeatureState.objects.bulk_create(states)
""",
    "top-level code of a module": """
FeatureState.objects.update(enabled=True)
""",
}

ANNOUNCED = {
    "announced": """
def write(states):
    versions.announce([1])
    FeatureState.objects.bulk_create(states)
""",
    "announced by a helper": """
def _announce():
    versions.announce([1])
def write(states):
    _announce()
    FeatureState.objects.bulk_create(states)
""",
    "announced by each caller": """
def _inner(states):
    FeatureState.objects.bulk_create(states)
def _outer(states):
    _inner(states)
def write(states):
    versions.announce([1])
    _outer(states)
""",
    "another model": """
def write(tags):
    Tag.objects.bulk_create(tags)
    Tag.objects.update(label="l")
""",
    "no query set": """
def write(known, other):
    known.update(other)
    super().update(known, other)
    known["a"].update(b=1)
    known.update(method="GET")
""",
    "SQL that reads": """
def read(cursor, table):
    cursor.execute("SELECT 1")
    cursor.execute(f"SELECT 1 FROM {table}")
""",
    "one by one": """
def write(state):
    state.save()
    FeatureState.objects.create(enabled=True)
    FeatureState.objects.filter(pk=1).delete()
""",
}


def read(source: str) -> list[Finding]:
    return Module("example.py", HEAD + source, project_models(), watched()).findings()


@pytest.mark.parametrize("kind", UNANNOUNCED)
def test_scan__unannounced_write__found(kind: str) -> None:
    assert len(read(UNANNOUNCED[kind])) == 1


@pytest.mark.parametrize("kind", ANNOUNCED)
def test_scan__announced_write_or_no_write__not_found(kind: str) -> None:
    assert read(ANNOUNCED[kind]) == []
