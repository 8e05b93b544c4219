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
    """Makes the demo, or what of it is missing, and says how to get in."""

    help = "Make the demo project, unless it is there, and print how to use it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
        how.add_argument("--shell", action="store_true", help="print assignments for a shell's eval")
        how.add_argument("--if-empty", action="store_true", help="leave a database alone that has any user")
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the server is, or will be")

    def handle(self, *args: Any, **options: Any) -> None:
        file = PasswordFile()
        if options["if_empty"] and FFAdminUser.objects.exists():
            project = find_project()
            environment = project.environments.first() if project else None
            self._print_where_to_look(options["url"], environment, f"is in {file.path}")
            return
        existed = FFAdminUser.objects.filter(email=EMAIL).exists()
        user, password, new = user_with_password(file)
        if new and existed:
            self.stderr.write(f"The password of {EMAIL} was not in {file.path}; it is a new one now.")
        demo = Demo.seed(user)
        if options["json"]:
            self.stdout.write(json.dumps(demo.as_json(password)))
        elif options["shell"]:
            for name, value in demo.as_variables().items():
                self.stdout.write(f"{name}={shlex.quote(value)}")
        else:
            self._print_where_to_look(options["url"], demo.environments[0], password)

    def _print_where_to_look(self, url: str, environment: Environment | None, password: str) -> None:
        lines = {"Dashboard": f"{url}/", "API": f"{url}/api/v1/", "Documentation": f"{url}/api/v1/docs/"}
        if environment is not None:
            lines |= {
                "E-mail": EMAIL,
                "Password": password,
                "See changes": f"curl -N {url}/sse/environments/{environment.api_key}/stream",
            }
        for name, text in lines.items():
            self.stdout.write(f"{name + ':':15}{text}")
