"""Background workers that are started and stopped with the server, in each of its processes."""

import asyncio

from realtime import runtime
from realtime.types import Start
from realtime.workers import BackgroundWorker


def starting(*workers: BackgroundWorker) -> Start:
    """The start of a server with these workers, which the runtime stops."""

    async def start() -> None:
        for worker in workers:
            worker.start()
        runtime.current().on_close(stop)

    async def stop() -> None:
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in workers))

    return start
