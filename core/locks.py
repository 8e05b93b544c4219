"""The order in which rows are locked: project, its environments by primary key, then anything else.

A writing request takes these locks before it reads what it is about to change. So two writers of one environment
follow each other, none of them decides on a row that the other is changing, and no two can wait for each other.
PostgreSQL's NO KEY UPDATE lets others go on inserting rows that refer to the locked ones. SQLite has one writer at a
time anyway and ignores all of it.
"""

from django.apps import apps

from realtime import versions


def lock_project(project_id: int) -> None:
    """For what concerns all environments of a project: its features, segments, settings, and which ones there are."""
    projects = apps.get_model("projects.Project").objects
    list(projects.select_for_update(no_key=True).filter(pk=project_id).values_list("pk"))
    environments = apps.get_model("environments.Environment").objects
    versions.lock(environments.filter(project_id=project_id).values_list("pk", flat=True))


def lock_environment(environment_id: int) -> None:
    """For what concerns one environment: feature states, overrides, settings."""
    versions.lock([environment_id])
