from argparse import ArgumentParser
from multiprocessing.connection import Connection
from typing import Any

from django.core.management.base import BaseCommand

from environment_documents import worker


class Command(BaseCommand):
    """Runs the evaluation process. Only the server process starts it (environment_documents/evaluation_process.py)."""

    help = "Evaluate environments for the server process that has started this one."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("socket", type=int, help="the file descriptor of a socket to the server process")

    def handle(self, *args: Any, **options: Any) -> None:
        with Connection(options["socket"]) as connection:
            worker.serve(connection)
