"""Streams that a GRIP proxy holds: the response has the first bytes and the instructions to hold the stream.

The proxy adds a signed header to requests. It sends the response's body to the client, keeps the client's connection
open, and writes to it what ``changes/grip.py`` publishes. No stream is open in this process.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse

from realtime.bus import eventstream
from realtime.conf import conf
from realtime.delivery import hub, sse
from realtime.delivery.sinks import HEADERS
from realtime.delivery.stream import ClientKind, reason_without_event
from realtime.types import EnvironmentKey, Message, Scope, Send

SIGNATURE = b"grip-sig"

# SDKs give a silent stream up after 60 s, and some proxies after 30 s.
MAX_KEEPALIVE_SECONDS = 15


def signature(scope: Scope | Message) -> bytes | None:
    """The header by which a GRIP proxy signs its requests; None without it, and if no proxy is configured."""
    if not conf.USES_GRIP:
        return None
    return next((value for name, value in scope["headers"] if name == SIGNATURE), None)


async def hold(signature: bytes, key: EnvironmentKey, kind: ClientKind, send: Send) -> bool:
    """Let the proxy hold the stream. Returns False, and sends nothing, if this process has to serve the stream.

    It serves those of clients whose streams have to end (``ClientKind.is_short``), which the proxy cannot do, requests
    with an invalid signature, and those whose state cannot be read at the moment.
    """
    # Imported here, because it reads the settings and makes an HTTP client.
    from django_grip import GripMiddleware, set_hold_stream

    # The middleware adds "grip".
    request: Any = HttpRequest()
    request.META["HTTP_GRIP_SIG"] = signature.decode("latin-1")
    middleware = GripMiddleware(lambda request: HttpResponse())
    middleware.process_request(request)
    if kind.is_short or not request.grip.proxied:
        return False
    try:
        state = await hub.current().reader.result(key)
    except Exception:
        # The reader has logged it.
        return False
    reason = reason_without_event(state)
    if reason is None:
        assert state is not None
        body = kind.opening.body + sse.frame(state.updated_at)
    else:
        body = kind.opening.body + reason.body
    seconds = min(MAX_KEEPALIVE_SECONDS, max(1, int(conf.KEEPALIVE_SECONDS)))
    set_hold_stream(request, eventstream.grip_channel(key), sse.KEEPALIVE.decode(), seconds)
    instructions = middleware.process_response(request, HttpResponse(body))
    headers = [
        *HEADERS,
        *[(name.lower().encode(), value.encode()) for name, value in instructions.items() if name.startswith("Grip-")],
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return True
