"""Row locks of writing requests, in one order: project, its environments by primary key, then other rows.

A writing request takes these locks before it reads the rows that it changes. So writers of one environment run one
after the other, none of them decides on a row that another one is changing, and no deadlock is possible.
PostgreSQL's NO KEY UPDATE still permits inserts of rows that refer to the locked ones. SQLite has one writer at a time
and ignores these locks.

Identity and trait writes of SDKs do not take these locks, because they change no flag. They take a shared lock on the
environment's row. The removal of identities, or of many identities' traits, waits for them and blocks new ones.
"""

from collections.abc import Iterable

from django.apps import apps
from django.db import connection

from realtime.changes import versions


def lock_project(project_id: int) -> None:
    """Lock a project and all its environments: for writes of features, segments, project settings and environments."""
    projects = apps.get_model("projects.Project").objects
    list(projects.select_for_update(no_key=True).filter(pk=project_id).values_list("pk"))
    environments = apps.get_model("environments.Environment").objects
    versions.lock(environments.filter(project_id=project_id).values_list("pk", flat=True))


def lock_environment(environment_id: int) -> None:
    """Lock an environment: for writes of feature states, overrides and environment settings."""
    versions.lock([environment_id])


def lock_environment_shared(environment_id: int) -> bool:
    """Take a shared lock on an environment until the end of the transaction: for writes of identities and traits.

    Returns False if the environment does not exist. It conflicts only with ``block_identity_writes``.
    """
    environment = apps.get_model("environments.Environment")
    if connection.vendor != "postgresql":
        return bool(environment.objects.filter(pk=environment_id).exists())
    with connection.cursor() as cursor:  # Django does not support this lock.
        table = connection.ops.quote_name(environment._meta.db_table)
        cursor.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR KEY SHARE", [environment_id])  # noqa: S608
        return cursor.fetchone() is not None


def block_identity_writes(environment_ids: Iterable[int]) -> None:
    """Wait for writes of identities and traits, and block new ones: before their removal, after the locks above."""
    environments = apps.get_model("environments.Environment").objects
    list(environments.filter(pk__in=environment_ids).order_by("pk").select_for_update().values_list("pk"))
