"""Drains a listening socket before it closes: drops new connections, so that those already established are accepted.

When a listening socket is closed, the kernel resets the connections that the process has not accepted yet, and those
whose handshake is under way. Their clients have seen them open, and may have sent a request. So first a filter on the
socket drops the packets that open a connection (SYN). Their senders retry after a second. By then another process has
the port, or they are refused, which a proxy handles.
"""

import ctypes
import socket
import struct

import structlog

logger = structlog.get_logger(__name__)

# Seconds between the filter and the close of the socket: handshakes that are under way take a round trip.
SETTLE_SECONDS = 0.25

SO_ATTACH_FILTER = 26

# A BPF program (linux/filter.h): load the byte of TCP's flags, keep SYN and ACK, and drop the packet if only SYN is
# set. Each line is (code, instructions to skip if true, if false, value).
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


def drop_new_syns(listening: socket.socket) -> None:
    """Open no new connections on this TCP socket, in any process that shares it. No effect where unsupported."""
    instructions = ctypes.create_string_buffer(b"".join([struct.pack("HBBI", *line) for line in PROGRAM]))
    program = struct.pack("HL", len(PROGRAM), ctypes.addressof(instructions))
    try:
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    except OSError as error:
        logger.info("backlog_unfiltered", error=repr(error))
