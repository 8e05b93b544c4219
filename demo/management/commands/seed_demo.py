import json
import shlex
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from demo.password import PasswordFile
from demo.seed import EMAIL, Demo, find_project, user_with_password
from environments.models import Environment
from users.models import FFAdminUser


class Command(BaseCommand):
    """Creates the demo data, or its missing parts, and prints the credentials."""

    help = "Create the demo project, unless it exists, and print its credentials."

    def add_arguments(self, parser: ArgumentParser) -> None:
        output = parser.add_mutually_exclusive_group()
        output.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
        output.add_argument("--shell", action="store_true", help="print shell variables, for eval")
        output.add_argument("--if-empty", action="store_true", help="do nothing if the database has a user")
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server's URL")

    def handle(self, *args: Any, **options: Any) -> None:
        file = PasswordFile()
        if options["if_empty"] and FFAdminUser.objects.exists():
            project = find_project()
            environment = project.environments.first() if project else None
            self._print_access(options["url"], environment, f"is in {file.path}")
            return
        existed = FFAdminUser.objects.filter(email=EMAIL).exists()
        user, password, new = user_with_password(file)
        if new and existed:
            self.stderr.write(f"The password of {EMAIL} was not in {file.path}. A new one has been set.")
        demo = Demo.seed(user)
        if options["json"]:
            self.stdout.write(json.dumps(demo.as_json(password)))
        elif options["shell"]:
            for name, value in demo.as_variables().items():
                self.stdout.write(f"{name}={shlex.quote(value)}")
        else:
            self._print_access(options["url"], demo.environments[0], password)

    def _print_access(self, url: str, environment: Environment | None, password: str) -> None:
        lines = {"Dashboard": f"{url}/", "API": f"{url}/api/v1/", "Documentation": f"{url}/api/v1/docs/"}
        if environment is not None:
            lines |= {
                "E-mail": EMAIL,
                "Password": password,
                "See changes": f"curl -N {url}/sse/environments/{environment.api_key}/stream",
            }
        for name, text in lines.items():
            self.stdout.write(f"{name + ':':15}{text}")
