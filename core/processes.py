"""A loop that is a process of its own (``manage.py run_scheduler``), until a signal tells it to end."""

import signal
import threading

from core.threads import Loop

SIGNALS = {signal.SIGTERM, signal.SIGINT}

# How soon a loop that has ended by itself ends the process.
LOOK_SECONDS = 1.0


def run(loop: Loop) -> None:
    """Run the loop in a thread, and end it at SIGTERM or SIGINT.

    Not in a signal's handler: that would run between any two steps of the loop itself, and wait for ever for a lock
    that the loop holds at that step.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    thread = threading.Thread(target=loop.run, name="loop")
    thread.start()
    while thread.is_alive():
        if signal.sigtimedwait(SIGNALS, LOOK_SECONDS) is not None:
            loop.end()
            thread.join()
