"""The address at which the processes of a pod meet: whether it is free, and whether it answers."""

from __future__ import annotations

import errno
import socket

ANSWER_SECONDS = 3
"""For a connection to an address that might not answer."""


def check_free(address: str) -> None:
    """Sees that process 0 can listen at an address, before JAX tries to.

    gRPC would share the port with another coordinator, which breaks both pods, and where it cannot
    have it the process may crash.

    Args:
        address: `host:port`, of this machine.

    Raises:
        OSError: If somebody listens there, or this process may not.
    """
    host, _, port = address.rpartition(":")
    if host == "[::]" and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"
    try:
        family, kind, *_, place = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as listener:
            # As gRPC does: connections of a run that has ended are no obstacle.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(place)
    except OSError as error:
        taken = "another program listens there, perhaps an earlier run that is still ending"
        reason = taken if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise OSError(
            f"Port {port}, at which the processes of the pod are to meet, cannot be used on this "
            f"machine: {reason}. End that program, or give all processes another port "
            "(JAX_COORDINATOR_ADDRESS, JAX_COORDINATOR_PORT or --port, from which it came)."
        ) from error


def reach(address: str) -> str:
    """Tries the coordinator's address `host:port` and says for people what it finds."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS):
            return f"{address} answers, so others are missing"
    except socket.gaierror as error:
        return f"the name {host!r} cannot be resolved ({error.strerror})"
    except OSError as error:
        return f"nobody answers at {address} ({error.strerror or error})"
