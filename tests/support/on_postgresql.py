"""``python -m tests.support.on_postgresql COMMAND...``: the command, with ``DATABASE_URL`` set to a private PostgreSQL.

``TEST_DATABASE_TEMPLATE`` names a migrated database in it.
"""

import os
import subprocess
import sys

from tests.support.programs import ProgramMissingError
from tests.support.server import TEMPLATE, migrated_cluster


def main() -> int:
    """Run the command of the arguments, and return its exit status."""
    try:
        server = migrated_cluster()
    except ProgramMissingError as missing:
        print(f"skipped on PostgreSQL: {missing}", file=sys.stderr)
        return 1 if os.environ.get("CI") == "true" else 0
    with server:
        variables = {"DATABASE_URL": server.url(), "TEST_DATABASE_TEMPLATE": TEMPLATE}
        return subprocess.run(sys.argv[1:], env=os.environ | variables).returncode


if __name__ == "__main__":
    sys.exit(main())
