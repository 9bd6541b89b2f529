"""Server processes of tests that end with us, whatever ends us."""

import subprocess
from collections.abc import Sequence
from typing import IO, Any

__all__ = ["guarded", "stop"]

# the first argument is a signal's name; the server gets that signal when our end of the pipe closes: also when we are killed
_SCRIPT = """
exec 3<&0
name=$1
shift
"$@" </dev/null 3<&- & server=$!
(read -r _ <&3; kill -s "$name" "$server" 2>/dev/null) &
exec 3<&-
wait "$server"
"""


def guarded(command: Sequence[str], signal_name: str, *, output: IO[bytes], **options: Any) -> subprocess.Popen[bytes]:
    """Start ``command``; the process that is returned is its guard, and ends when it ends.

    Args:
        signal_name: what ends the server, e.g. ``INT``.
        output: where both of its outputs go.
        options: for :class:`subprocess.Popen`.
    """
    return subprocess.Popen(  # noqa: S603 - our own arguments
        ["/bin/sh", "-c", _SCRIPT, "sh", signal_name, *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        start_new_session=True,
        **options,
    )


def stop(guard: subprocess.Popen[bytes], seconds: float) -> None:
    """Let the server end; give up waiting after ``seconds``."""
    assert guard.stdin is not None
    guard.stdin.close()
    try:
        guard.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()
