"""The wheel's command: ``flagsmith-realtime relay …`` runs the relay, anything else the drop-in server's command."""

import sys

RELAY = "relay"


def main() -> None:
    if sys.argv[1:2] != [RELAY]:
        from realtime.detached.command import main as run
    else:
        from realtime.relay.command import main as run

        del sys.argv[1]
    run()
