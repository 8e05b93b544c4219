"""Ports for the servers that tests start."""

import random
import socket

# Below those that systems give to outgoing connections and to whoever asks for any port.
RANGE = range(15_000, 32_000)

_kept: list[socket.socket] = []


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on, and that no other process of the tests is given.

    The UDP port of the same number says so to the others, until this process ends.
    """
    while True:
        port = random.choice(RANGE)
        sign = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sign.bind(("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            sign.close()
            continue
        _kept.append(sign)
        return port
