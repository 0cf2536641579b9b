"""``python -m tools.gateway``: start the simulator and end it cleanly."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from aiohttp import web

from .server import make_app


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.gateway", description="WhatsApp gateway simulator")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8075, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process is gone")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input closes")
    return parser.parse_args()


def _is_gone(pid: int) -> bool:
    """Whether the process ended; one that only waits to be reaped counts as ended."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's process, or no /proc on this system: it exists
        return False
    return status.rpartition(")")[2].split()[0] == "Z"


async def _watch_parent(pid: int, stop: asyncio.Event) -> None:
    while not _is_gone(pid):
        await asyncio.sleep(1)
    stop.set()


def _watch_stdin(stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends. A thread, because not every kind of stdin can be polled."""
    loop = asyncio.get_running_loop()

    def read_to_end() -> None:
        # os.read takes no lock of sys.stdin, which this daemon thread would hold at exit.
        while os.read(0, 65536):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read_to_end, daemon=True).start()


async def serve(arguments: argparse.Namespace) -> None:
    """Listen until a signal, the parent's end or the end of stdin."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if arguments.exit_with_stdin:
        _watch_stdin(stop)
    runner = web.AppRunner(make_app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, arguments.host, arguments.port, backlog=1024)
    await site.start()
    port = runner.addresses[0][1]
    print(f"gateway ready on http://{arguments.host}:{port}", flush=True)
    watching = asyncio.create_task(_watch_parent(arguments.parent, stop)) if arguments.parent else None
    await stop.wait()
    if watching:
        watching.cancel()
    # No clean-up of the runner: it waits for answers under way, and a hanging fault is such an answer.
    # Returning ends them all.


def main() -> None:
    """Run the simulator."""
    arguments = _arguments()
    try:
        asyncio.run(serve(arguments))
    except OSError as error:  # most often the port is taken
        sys.exit(f"The gateway cannot listen on {arguments.host}:{arguments.port}: {error.strerror}")


if __name__ == "__main__":
    main()
