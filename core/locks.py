"""The order in which rows are locked: project, its environments by primary key, then anything else.

A writing request takes these locks before it reads what it is about to change. So two writers of one environment
follow each other, none of them decides on a row that the other is changing, and no two can wait for each other.
PostgreSQL's NO KEY UPDATE lets others go on inserting rows that refer to the locked ones. SQLite has one writer at a
time anyway and ignores all of it.

SDKs store identities and traits without these locks, for they change no flag. They only share the environment's row, so
that whoever removes identities, or traits of many, can wait for them to end and keep the next ones out meanwhile.
"""

from collections.abc import Iterable

from django.apps import apps
from django.db import connection

from realtime.changes import versions


def lock_project(project_id: int) -> None:
    """For what concerns all environments of a project: its features, segments, settings, and which ones there are."""
    projects = apps.get_model("projects.Project").objects
    list(projects.select_for_update(no_key=True).filter(pk=project_id).values_list("pk"))
    environments = apps.get_model("environments.Environment").objects
    versions.lock(environments.filter(project_id=project_id).values_list("pk", flat=True))


def lock_environment(environment_id: int) -> None:
    """For what concerns one environment: feature states, overrides, settings."""
    versions.lock([environment_id])


def share_environment(environment_id: int) -> bool:
    """For storing identities and traits: whether the environment is there, and stays until the end of the transaction.

    Many can share it at the same time, and beside the locks above.
    """
    environment = apps.get_model("environments.Environment")
    if connection.vendor != "postgresql":
        return bool(environment.objects.filter(pk=environment_id).exists())
    with connection.cursor() as cursor:  # Django has no word for this lock.
        table = connection.ops.quote_name(environment._meta.db_table)
        cursor.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR KEY SHARE", [environment_id])  # noqa: S608
        return cursor.fetchone() is not None


def keep_out_identities(environment_ids: Iterable[int]) -> None:
    """For removing identities or many traits, before they are looked up; last of the locks above."""
    environments = apps.get_model("environments.Environment").objects
    list(environments.filter(pk__in=environment_ids).order_by("pk").select_for_update().values_list("pk"))
