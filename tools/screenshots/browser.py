"""A Chromium that shows pages and takes pictures of them, spoken to in its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import websocket

from ..env import rpc, shell, system
from ..env.console import SetupError
from ..env.waiting import wait_until

#: Seconds for one command of the protocol, and for a page to come to rest.
PATIENCE = 60
#: A page rests when no request has been under way for so many seconds.
QUIET = 0.35
#: Charts are drawn step by step.
DRAWING = 1.1

#: Whatever moves makes two pictures of one page differ; and nobody is there to be asked “Leave this page?”.
STILL = """
window.addEventListener("beforeunload", (event) => event.stopImmediatePropagation());
document.addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style");
    style.textContent = `*, *::before, *::after {
        animation: none !important; transition: none !important; caret-color: transparent !important;
    }`;
    document.head.append(style);
});
"""
#: Requests that never end, or that nobody waits for.
ENDLESS = ("/websocket", "/longpolling", "/bus/", "/events")


class BrowserGone(Exception):
    """The browser itself does not answer any more."""


class Browser:
    """One window.

    :ivar errors: what the pages wrote to the console as errors since the last `take_errors`
    """

    def __init__(self) -> None:
        program = system.browser()
        if not program:
            raise SetupError("No browser: install the package chromium.")
        self._folder = tempfile.mkdtemp(prefix="sicantik-browser-")
        self._process = shell.start(
            [
                *(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--no-first-run", "--disable-extensions", "--disable-dev-shm-usage", "--mute-audio"),
                *("--font-render-hinting=none", "--force-color-profile=srgb"),
                *("--remote-allow-origins=*", "--remote-debugging-port=0"),
                *(f"--user-data-dir={self._folder}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
        )
        self._socket: websocket.WebSocket | None = None
        self._last = 0
        self._requests: set[str] = set()
        self._busy = time.monotonic()
        self.errors: list[str] = []
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and forget its profile."""
        if self._socket:
            with contextlib.suppress(OSError, websocket.WebSocketException):
                self._socket.close()
        shell.stop(self._process, patience=3)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connect(self) -> None:
        told = Path(self._folder) / "DevToolsActivePort"
        if not wait_until(
            lambda: told.exists() and "\n" in told.read_text(), process=self._process, seconds=PATIENCE
        ):
            raise SetupError("The browser did not start.")
        port = told.read_text().split()[0]
        pages = rpc.fetch(f"http://127.0.0.1:{port}/json/list")
        page = next(page for page in pages if page["type"] == "page")
        self._socket = websocket.create_connection(
            page["webSocketDebuggerUrl"], timeout=PATIENCE, suppress_origin=True
        )
        for domain in ("Page", "Network", "Runtime"):
            self._call(f"{domain}.enable")
        self._call("Page.addScriptToEvaluateOnNewDocument", source=STILL)
        self._call("Emulation.setTimezoneOverride", timezoneId="Asia/Jakarta")

    # === PROTOCOL ===#

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and give its answer; what happens meanwhile is noted."""
        assert self._socket
        self._last += 1
        self._socket.settimeout(PATIENCE)
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            try:
                message = json.loads(self._socket.recv())
            except websocket.WebSocketException as error:
                raise BrowserGone(f"The browser does not answer to {method}: {error}") from error
            if message.get("id") == self._last:
                if "error" in message:
                    raise SetupError(f"The browser refuses {method}: {message['error'].get('message')}")
                return message.get("result", {})
            self._note(message)

    def _listen(self, seconds: float) -> None:
        """Note what happens in the next moment."""
        assert self._socket
        self._socket.settimeout(seconds)
        with contextlib.suppress(websocket.WebSocketTimeoutException):
            self._note(json.loads(self._socket.recv()))

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            if not any(word in params["request"]["url"] for word in ENDLESS):
                self._requests.add(params["requestId"])
                self._busy = time.monotonic()
        elif method in ("Network.loadingFinished", "Network.loadingFailed"):
            self._requests.discard(params["requestId"])
            self._busy = time.monotonic()
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details.get("text", ""))
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(
                " ".join(str(one.get("value", one.get("description"))) for one in params["args"])
            )

    # === PAGES ===#

    def take_errors(self) -> list[str]:
        """Give the errors since the last call."""
        errors, self.errors = self.errors, []
        return errors

    def set_cookie(self, url: str, name: str, value: str) -> None:
        """Remember a cookie for the pages of `url`."""
        self._call("Network.setCookie", url=url, name=name, value=value)

    def resize(self, width: int, height: int) -> None:
        """Make the window so many pixels wide and high; below 576 it is a phone."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 576},
        )

    def open(self, url: str) -> None:
        """Load a page from scratch; a change of what follows `#` alone would not."""
        self._call("Page.navigate", url="about:blank")
        self._requests.clear()
        self._call("Page.navigate", url=url)
        self.settle()

    def evaluate(self, expression: str) -> Any:
        """Give the value of a JavaScript expression, a promise's when it is kept.

        :raises SetupError: it throws
        """
        answer = self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise SetupError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, expression: str, what: str) -> None:
        """Wait until a JavaScript expression is true.

        :param what: what is waited for, in words
        :raises SetupError: it does not become true
        """
        self._until(lambda: bool(self.evaluate(f"Boolean({expression})")), what)

    def settle(self) -> None:
        """Wait until nothing is loaded any more."""
        self._until(
            lambda: not self._requests and time.monotonic() - self._busy > QUIET, "the page to be loaded"
        )

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not reached():
            if time.monotonic() > end:
                raise SetupError(f"The browser waited {PATIENCE} s for {what}.")
            self._listen(0.05)

    def move_pointer(self, x: int, y: int) -> None:
        """Put the pointer somewhere; what is under it looks different."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self) -> bytes:
        """Take a picture of the window, as PNG."""
        if self.evaluate("Boolean(document.querySelector('canvas'))"):
            time.sleep(DRAWING)
        self.evaluate("document.fonts.ready.then(() => true)")
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
