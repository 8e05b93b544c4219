"""``python -m tests.flagsmith PATH``: starts Flagsmith and our server with a sample feature, until Ctrl+C.

With ``--own-tests`` it runs Flagsmith's own tests without our app and with it, and compares the results.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.flagsmith.beside import Beside
from tests.flagsmith.checkout import Checkout, NoCheckoutError
from tests.flagsmith.monolith import Tasks
from tests.flagsmith.own_tests import APPS, compare
from tests.support.api import AdminAPI
from tests.support.programs import ProgramMissingError

INSTRUCTIONS = """
Flagsmith {version}, its tasks by {tasks}
  Admin API:  {url}/api/v1/
  Token:      {token}
  Feature:    banner, in the project {project}, environment {key}

Follow its changes from the drop-in server:
  curl -N {streams}/sse/environments/{key}/stream
Toggle:
  curl -X PUT -H 'Authorization: Token {token}' -H 'Content-Type: application/json' -d '{{"enabled": true}}' \\
    {url}/api/v1/environments/{key}/featurestates/{state}/
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/flagsmith", description="A real Flagsmith, and our server beside it."
    )
    parser.add_argument("path", type=Path, help="a checkout of Flagsmith")
    parser.add_argument("--tasks", choices=[tasks.value for tasks in Tasks], default=Tasks.PROCESSOR.value)
    parser.add_argument(
        "--own-tests",
        nargs="*",
        choices=APPS,
        metavar="APP",
        help=f"run Flagsmith's own unit tests of these apps ({', '.join(APPS)}) without our app and with it",
    )
    arguments = parser.parse_args()
    # All started processes end with this one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        checkout = Checkout(arguments.path)
        if arguments.own_tests is not None:
            compared = compare(checkout, arguments.own_tests or APPS)
            print(compared, flush=True)
            sys.exit(not compared.is_no_worse)
        with tempfile.TemporaryDirectory() as folder, Beside(checkout, Tasks(arguments.tasks), Path(folder)) as both:
            api = AdminAPI.registered(both.flagsmith.url)
            tenant = both.flagsmith.tenant(api)
            feature = tenant.add_feature("banner", initial_value="old")["id"]
            print(
                INSTRUCTIONS.format(
                    version=checkout.version,
                    tasks=arguments.tasks,
                    url=both.flagsmith.url,
                    token=str(api.session.headers["Authorization"]).removeprefix("Token "),
                    project=tenant.project,
                    key=tenant.environment.key,
                    streams=both.drop_in.url,
                    state=tenant.state(feature)["id"],
                ),
                flush=True,
            )
            signal.pause()
    except KeyboardInterrupt:
        return
    except (NoCheckoutError, ProgramMissingError) as error:
        sys.exit(f"flagsmith: {error}")


main()
