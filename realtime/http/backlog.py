"""The last moments of a listening socket: nobody new is let in, and whoever has connected is answered.

When a listening socket is closed, the kernel resets the connections that it has accepted and that the process has not,
and those whose handshake is under way. Clients have seen them open, and may have sent a request. So before, the socket
gets a filter that drops the packets which open a connection. Their senders try again after a second, by which time
another process has the port, or they are refused, which a proxy takes for what it is.
"""

import ctypes
import socket
import struct

import structlog

logger = structlog.get_logger(__name__)

# Seconds from then until the socket may be closed: handshakes that are under way take a round trip.
SETTLE_SECONDS = 0.25

SO_ATTACH_FILTER = 26

# Load the byte of TCP's flags, keep SYN and ACK, and drop the packet if that is SYN alone: (code, if true skip, if
# false skip, value), see linux/filter.h.
LOAD_BYTE, AND, JUMP_IF_EQUAL, RETURN = 0x30, 0x54, 0x15, 0x06
FLAGS, SYN, ACK = 13, 0x02, 0x10
DROP, KEEP = 0, 0xFFFF_FFFF
PROGRAM = [
    (LOAD_BYTE, 0, 0, FLAGS),
    (AND, 0, 0, SYN | ACK),
    (JUMP_IF_EQUAL, 0, 1, SYN),
    (RETURN, 0, 0, DROP),
    (RETURN, 0, 0, KEEP),
]


def let_nobody_in(listening: socket.socket) -> None:
    """Open no new connections by this socket of TCP, in any process that has it. Nothing where the system cannot."""
    instructions = ctypes.create_string_buffer(b"".join([struct.pack("HBBI", *line) for line in PROGRAM]))
    program = struct.pack("HL", len(PROGRAM), ctypes.addressof(instructions))
    try:
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    except OSError as error:
        logger.info("backlog_unfiltered", error=repr(error))
