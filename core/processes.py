"""Runs a loop as a process of its own (``manage.py run_scheduler``) until SIGTERM or SIGINT."""

import signal
import threading

from core.threads import Loop

SIGNALS = {signal.SIGTERM, signal.SIGINT}

# The interval of checks whether the loop has ended by itself.
POLL_SECONDS = 1.0


def run(loop: Loop) -> None:
    """Run the loop in a thread, and end it at SIGTERM or SIGINT.

    Not by a signal handler: it would interrupt the loop's own thread, and ``loop.end()`` would deadlock on a lock that
    the loop holds at that moment.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    thread = threading.Thread(target=loop.run, name="loop")
    thread.start()
    while thread.is_alive():
        if signal.sigtimedwait(SIGNALS, POLL_SECONDS) is not None:
            loop.end()
            thread.join()
