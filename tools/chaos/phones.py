"""The simulator's side: every message that it received, kept from the first to the last; its faults."""

from __future__ import annotations

import random
import threading
import time
import urllib.request

from ..env import rpc
from ..env.console import SetupError
from .books import Received, token_of

PROVIDERS = ("meta", "fonnte", "watzap")
PAGE = 5000
#: (fault, weight, times at most, further values). The waiting one takes an adapter's whole timeout.
FAULTS = (
    ("cut_after_read", 4, 4, {}),
    ("cut_before_read", 4, 4, {}),
    ("truncated", 2, 3, {}),
    ("empty", 1, 2, {}),
    ("not_json", 1, 2, {}),
    ("http:503", 4, 12, {}),
    ("http:500", 2, 6, {}),
    ("slow", 3, 6, {"delay": 1.5}),
)
WAITING = ("timeout_after_read", 1, 1, {})
#: What a send takes, in milliseconds, so that there is always something in flight.
DELAY = 60


class Phones:
    """Collects what the simulator receives, in a thread of its own, so that its bounded memory suffices.

    :param url: the simulator's address
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self.faults = 0
        self._last = 0
        self._stop = threading.Event()
        self._problem: Exception | None = None
        rpc.fetch(f"{url}/admin/settings", {"delay_ms": DELAY})
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while not self._stop.wait(1):
            try:
                self._page()
            except (OSError, ValueError) as error:
                self._problem = error
                return

    def _page(self) -> None:
        """Fetch what is new, page by page.

        :raises ValueError: the simulator forgot messages before they were fetched
        """
        while True:
            found = rpc.fetch(f"{self.url}/admin/messages?since_id={self._last}&limit={PAGE}")["messages"]
            for one in found:
                if one["id"] != self._last + 1:
                    raise ValueError(f"message {self._last + 1} was gone before it was read")
                self._last = one["id"]
                token = token_of(one["text"], *one["parameters"])
                self.received.append(Received(one["id"], token, one["at"]))
            if len(found) < PAGE:
                return

    def misbehave(self, rng: random.Random, *, waiting: bool) -> None:
        """Let one provider fail for the next few requests, and the others work again.

        What was set before does not wait for a provider that is left alone because it failed: its next
        request would always meet it.

        :param waiting: also by not answering at all until the adapter's timeout
        """
        faults = [*FAULTS, WAITING] if waiting else FAULTS
        fault, _weight, most, values = rng.choices(faults, [one[1] for one in faults])[0]
        entry = {"provider": rng.choice(PROVIDERS), "fault": fault, "times": rng.randint(1, most), **values}
        self.behave()
        rpc.fetch(f"{self.url}/admin/faults", entry)

    def behave(self) -> None:
        """Take back the faults that were not played, and count those that were."""
        for one in rpc.fetch(f"{self.url}/admin/faults")["faults"]:
            self.faults += one["played"]
        request = urllib.request.Request(f"{self.url}/admin/faults", method="DELETE")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30):
            pass

    def close(self) -> None:
        """Fetch the last messages and end the thread.

        :raises SetupError: messages may be missing from `received`
        """
        self._stop.set()
        self._thread.join(60)
        if self._problem:
            raise SetupError(f"The simulator's messages could not be read: {self._problem}")
        time.sleep(0.2)
        self._page()
