from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import processes
from features.workflows.core.scheduler import Scheduler
from realtime.serving.command_line import problem_of_database


class Command(BaseCommand):
    """Runs the scheduler in a process of its own, for servers with ``RUN_SCHEDULER=false`` or in addition to theirs."""

    help = "Publish scheduled change requests when they are due, until SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        if problem := problem_of_database():
            raise CommandError(problem)
        processes.run(Scheduler())
