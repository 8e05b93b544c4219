"""A process that is ending lets a proxy take new streams to another one.

Clients get nothing but 200 (docs/wire-protocol.md), so a stream that begins during a drain is opened, and ends within
what is left of it: its client connects twice, and most of all at the drain's end. A proxy that can ask another process
says so in its requests, gets a 503 instead, and its client sees none of it (deploy/nginx/locations.conf).
"""

from realtime.delivery.sinks import CLOSE
from realtime.http import drain
from realtime.types import Message, Scope, Send

ASKED = (b"x-next-upstream", b"503")

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"0"), CLOSE]


def is_due(scope: Scope | Message) -> bool:
    """Whether this process is ending, and the request's proxy can ask another one."""
    return drain.in_progress() and ASKED in scope["headers"]


async def hand_over(send: Send) -> None:
    """Have the proxy ask another process."""
    await send({"type": "http.response.start", "status": 503, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b""})
