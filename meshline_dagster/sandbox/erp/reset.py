"""Break a client's connection without an answer.

ASGI has no word for it, so this reaches for uvicorn's transport behind ``receive``.
"""

import socket
import struct
from typing import Any

from starlette.types import Receive, Scope, Send

__all__ = ["reset"]

_NO_LINGER = struct.pack("ii", 1, 0)


async def reset(_: Scope, receive: Receive, __: Send) -> None:
    """An answer that is none: the peer sees a connection reset."""
    cycle: Any = getattr(receive, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is None:
        raise RuntimeError("planned resets need uvicorn as the server")
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
