"""Bodies of requests, ahead of Django, which would first write all that comes to memory and disk."""

import asyncio
from contextlib import suppress
from typing import Any

from django.conf import settings

from core.parsers import BodyTooLarge
from realtime.types import Application, Message, Receive, Send

REFUSAL = f'{{"detail":"{BodyTooLarge.default_detail}"}}'.encode()

# What is read of a refused body, and thrown away.
UNREAD_BYTES = 32 * 1_048_576
UNREAD_SECONDS = 5.0

# Digits of a length that is worth reading.
DIGITS = 18


class ClientGone(Exception):
    """Nobody is there to be answered."""


def limited_bodies(application: Any) -> Application:
    """An application that gets no body beyond ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes. Whoever sends more gets 413.

    A body in chunks, without Content-Length, gets one: Django REST framework takes it for none otherwise.
    """

    async def limited(scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if b"transfer-encoding" not in headers:
            length = _length(headers.get(b"content-length", b"0"))
            if length <= limit:
                await application(scope, receive, send)
                return
            if length <= UNREAD_BYTES and b"expect" not in headers:
                await _throw_away(receive)
            await _refuse(send)
            return
        try:
            body = await _read(receive, limit)
        except ClientGone:
            return
        except BodyTooLarge:
            await _refuse(send)
            return
        whole = {**scope, "headers": [*scope["headers"], (b"content-length", b"%d" % len(body))]}
        await application(whole, _again(body, receive), send)

    return limited


def _length(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) <= DIGITS else 10**DIGITS


async def _read(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            if more:
                await _throw_away(receive)
            raise BodyTooLarge
    return bytes(body)


async def _throw_away(receive: Receive) -> None:
    """Let the client finish before it is answered: one that sends all before it reads sees a broken connection else."""
    thrown = 0
    more = True
    with suppress(TimeoutError):
        async with asyncio.timeout(UNREAD_SECONDS):
            while more and thrown < UNREAD_BYTES:
                message = await receive()
                thrown += len(message.get("body", b""))
                more = message.get("more_body", False)


def _again(body: bytes, receive: Receive) -> Receive:
    """What receives the body as one message, and then whatever comes."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return unread.pop() if unread else await receive()

    return next_message


async def _refuse(send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(REFUSAL)),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": BodyTooLarge.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSAL})
