"""Ports that a server can be killed on and come back to."""

import random
import socket

# Below the range that Linux (from 32768) and macOS (from 49152) give to outgoing connections. A port
# asked of the kernel lies inside it: while the server is down, a client that reconnects on the same
# machine may be given that very port as its own, connect to itself, and keep the server out.
_LOWEST, _HIGHEST = 15_000, 32_000


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now; the caller must survive losing it in a race."""
    choice = random.SystemRandom()
    while True:
        port = choice.randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
