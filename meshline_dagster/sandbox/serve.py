"""Run an ASGI application on a free loopback port: in a thread of this process, in a process of its own, or for ever.

uvicorn's own ``Date`` and ``Server`` headers are off: a sandbox answers with its own clock.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from meshline_dagster.core.errors import ConfigError

__all__ = ["READY_PREFIX", "serve", "serve_forever", "serve_process"]

READY_PREFIX = "listening on "
"""What a server process prints, followed by its base URL, once it answers."""

_LOOPBACK = "127.0.0.1"
_GRACE_SECONDS = 2
_UNTIL_STDIN_CLOSES = "MESHLINE_SERVE_UNTIL_STDIN_CLOSES"  # set for the process of serve_process


@contextmanager
def serve(app: ASGIApp, port: int = 0, *, start_timeout: float = 30.0) -> Iterator[str]:
    """Serve ``app`` from a thread of this process while the context lasts.

    Args:
        app: any ASGI application; its lifespan is run.
        port: the loopback port, or 0 for a free one.
        start_timeout: seconds until a server that does not come up is given up.

    Yields:
        The base URL, e.g. ``http://127.0.0.1:43817``, without a slash at the end.

    Raises:
        ConfigError: the port is taken, or the application did not start.
    """
    listener = _listen(port)
    server = uvicorn.Server(_config(app))
    thread = threading.Thread(target=server.run, args=([listener],), name="sandbox-server", daemon=True)
    thread.start()
    try:
        _wait_until_started(server, thread, start_timeout)
        yield _base_url(listener)
    finally:
        server.should_exit = True
        thread.join(timeout=_GRACE_SECONDS * 5)
        listener.close()


def serve_forever(app: ASGIApp, port: int = 0) -> None:
    """Serve ``app`` until SIGINT or SIGTERM; print ``listening on URL`` to standard output once it answers.

    A process that :func:`serve_process` has started also ends when its parent is gone, whatever ended that.
    """
    listener = _listen(port)
    server = uvicorn.Server(_config(app))
    if os.environ.get(_UNTIL_STDIN_CLOSES):
        threading.Thread(target=_end_with_parent, args=[server], name="sandbox-parent", daemon=True).start()

    def announce() -> None:
        while not (server.started or server.should_exit):
            time.sleep(0.01)
        if server.started:
            sys.stdout.write(f"{READY_PREFIX}{_base_url(listener)}\n")
            sys.stdout.flush()

    threading.Thread(target=announce, name="sandbox-announce", daemon=True).start()
    try:
        server.run([listener])
    finally:
        listener.close()


@contextmanager
def serve_process(arguments: Sequence[str], *, start_timeout: float = 60.0) -> Iterator[tuple[str, int]]:
    """Run ``python ARGUMENTS`` (a command that ends in :func:`serve_forever`) while the context lasts, and no longer than we do.

    Yields:
        The base URL and the process id, so that a test can kill it.

    Raises:
        ConfigError: the process ended, or said nothing, before it was ready; the message carries its last words.
    """
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, arguments from the caller
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,  # closes also when we are killed
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", _UNTIL_STDIN_CLOSES: "1"},
        start_new_session=True,
    )
    try:
        yield _await_url(process, start_timeout), process.pid
    finally:
        _stop(process)


def _end_with_parent(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} of {_LOOPBACK} cannot be used ({error}); choose another, or 0 for any"
        ) from error
    listener.listen(128)
    return listener


def _base_url(listener: socket.socket) -> str:
    return f"http://{_LOOPBACK}:{listener.getsockname()[1]}"


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise ConfigError("the application did not start; its error is in the log above")
        time.sleep(0.005)


def _await_url(process: subprocess.Popen[bytes], timeout: float) -> str:
    """Read the process's output until the ready line; what it says later is drained, so that it never blocks."""
    assert process.stdout is not None
    pipe = process.stdout
    said = b""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not select.select([pipe], [], [], 0.1)[0]:
            continue
        chunk = os.read(pipe.fileno(), 65536)
        if not chunk:
            break
        said += chunk
        for line in said.decode(errors="replace").splitlines(keepends=True):
            if line.startswith(READY_PREFIX) and line.endswith("\n"):
                threading.Thread(target=pipe.read, name="sandbox-drain", daemon=True).start()
                return line.removeprefix(READY_PREFIX).strip()
    raise ConfigError(f"the server process did not become ready; it said: {said.decode(errors='replace')[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_GRACE_SECONDS * 2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()
