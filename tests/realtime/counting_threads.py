"""The product's ASGI application, with an endpoint that returns the names of its threads."""

import json
import threading
from typing import Any

from settings.asgi import application as product


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http" or scope["path"] != "/threads":
        await product(scope, receive, send)
        return
    names = [thread.name for thread in threading.enumerate()]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(names).encode()})
