from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import processes
from features.workflows.core.scheduler import Scheduler
from realtime.serving.command_line import problem_of_database


class Command(BaseCommand):
    """Runs the scheduler alone, for servers that run with ``RUN_SCHEDULER=false``, or beside those that do not."""

    help = "Make scheduled change requests live when their time has come, until SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        if problem := problem_of_database():
            raise CommandError(problem)
        processes.run(Scheduler())
