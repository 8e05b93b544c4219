"""Runs a worker as a process of its own (``manage.py run_scheduler``) until SIGTERM or SIGINT."""

import signal
import threading

from realtime.workers import BackgroundWorker

SIGNALS = {signal.SIGTERM, signal.SIGINT}


def run(worker: BackgroundWorker) -> None:
    """Run the worker, and end it at SIGTERM or SIGINT.

    Not by a signal handler: ``worker.stop()`` would deadlock on a lock that the interrupted thread holds.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    worker.start()
    signal.sigwait(SIGNALS)
    worker.stop(threading.TIMEOUT_MAX)
