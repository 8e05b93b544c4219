"""Ports for the servers that tests start."""

import random
import socket

# Below the ephemeral ports of operating systems.
RANGE = range(15_000, 32_000)

_reservations: list[socket.socket] = []


def free_port() -> int:
    """A free TCP port of the loopback interface, which no other process of the tests gets.

    It is reserved by the UDP port of the same number until this process ends.
    """
    while True:
        port = random.choice(RANGE)
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            reservation.close()
            continue
        _reservations.append(reservation)
        return port
