"""Limits request bodies before Django buffers them in memory or on disk."""

import asyncio
from contextlib import suppress
from typing import Any

from django.conf import settings

from core.parsers import BodyTooLarge
from realtime.types import Application, Message, Receive, Send

TOO_LARGE = f'{{"detail":"{BodyTooLarge.default_detail}"}}'.encode()

# Limits of what is read and discarded of a body that is too large.
MAX_DISCARDED_BYTES = 32 * 1_048_576
MAX_DISCARD_SECONDS = 5.0

# A Content-Length of more digits is not parsed: it is over every limit.
MAX_LENGTH_DIGITS = 18


class ClientDisconnected(Exception):
    """The client has closed the connection before the end of its request."""


def limited_bodies(application: Any) -> Application:
    """ASGI middleware that responds 413 to a body of more than ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes.

    A chunked body is buffered and gets a Content-Length: Django REST framework takes it for empty otherwise.
    """

    async def limited(scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if b"transfer-encoding" not in headers:
            length = _length(headers.get(b"content-length", b"0"))
            if length <= limit:
                await application(scope, receive, send)
                return
            if length <= MAX_DISCARDED_BYTES and b"expect" not in headers:
                await _discard(receive)
            await _send_too_large(send)
            return
        try:
            body = await _read(receive, limit)
        except ClientDisconnected:
            return
        except BodyTooLarge:
            await _send_too_large(send)
            return
        buffered = {**scope, "headers": [*scope["headers"], (b"content-length", b"%d" % len(body))]}
        await application(buffered, _replaying(body, receive), send)

    return limited


def _length(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) <= MAX_LENGTH_DIGITS else 10**MAX_LENGTH_DIGITS


async def _read(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            if more:
                await _discard(receive)
            raise BodyTooLarge
    return bytes(body)


async def _discard(receive: Receive) -> None:
    """Read the rest of a body. A client that sends everything before it reads would otherwise see a broken connection
    instead of the response.
    """
    discarded = 0
    more = True
    with suppress(TimeoutError):
        async with asyncio.timeout(MAX_DISCARD_SECONDS):
            while more and discarded < MAX_DISCARDED_BYTES:
                message = await receive()
                discarded += len(message.get("body", b""))
                more = message.get("more_body", False)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns the buffered body as one message, and then the next messages."""
    buffered: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return buffered.pop() if buffered else await receive()

    return next_message


async def _send_too_large(send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(TOO_LARGE)),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": BodyTooLarge.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": TOO_LARGE})
