"""Who kills what, and when. All choices come from one seed; what they meet, of course, does not."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ..env.console import SetupError, say
from .cluster import CrashingCluster
from .phones import Phones
from .servers import Server

#: A master is killed once in so many turns, else one of its workers.
MASTER = 0.05
#: Some kills come so soon after the last that they hit the rescue of what that one left.
SOON = 0.3
#: Some servers are killed before they are up.
UNBORN = 0.12
#: Seconds that nobody is killed after the database crashed.
AFTER_CRASH = 6.0
#: A server that is not up by then is not going to be.
PATIENCE = 120.0


@dataclass
class Turn:
    """A server and what happens to it next. `due` is when, in monotonic seconds."""

    server: Server
    due: float = 0.0
    dies_unborn: bool = False
    launched: float = field(default_factory=time.monotonic)


class Monkey:
    """Kills servers and their workers, crashes the database once, lets the simulator misbehave.

    :param kills: how many kills are wanted
    :param seconds: end after so long even with fewer; 0: when the kills are done
    """

    def __init__(
        self,
        rng: random.Random,
        servers: list[Server],
        cluster: CrashingCluster,
        phones: Phones,
        *,
        kills: int,
        seconds: float,
    ) -> None:
        self.rng, self.cluster, self.phones = rng, cluster, phones
        self.turns = [Turn(server) for server in servers]
        self.wanted, self.seconds = kills, seconds
        self.killed: Counter[str] = Counter()
        self.crashes = 0
        self.problems: list[str] = []
        self._begin = 0.0
        self._next_fault = 0.0

    def play(self, going_on: Callable[[], bool]) -> None:
        """Wait until the servers are up, and go on until the kills are done or the time is over.

        :param going_on: asked all the time; false ends the play early
        """
        self._all_up()
        self._begin = time.monotonic()
        for turn in self.turns:
            self._let_live(turn)
        reported = 0
        while self._progress() < 1 and going_on():
            now = time.monotonic()
            for turn in self.turns:
                self._step(turn, now)
            if now > self._next_fault:
                self.phones.misbehave(self.rng, waiting=not self.seconds)
                self._next_fault = now + self.rng.uniform(0.25, 0.8)
            if not self.crashes and self._progress() >= 0.5:
                self._crash()
            if self.killed.total() >= reported + 25:
                reported = self.killed.total()
                say(f"  {reported} kills after {time.monotonic() - self._begin:.0f} s")
            time.sleep(0.02)

    def revive(self) -> None:
        """Have all servers running, and those with threads anew.

        Odoo's threaded server loses its cron threads when the database crashes, for good.
        """
        for turn in self.turns:
            if turn.server.running and turn.server.name == "threads":
                turn.server.stop()
            if not turn.server.running:
                self._launch(turn)
        self._all_up()

    def _progress(self) -> float:
        done = self.killed.total() / self.wanted
        return max(done, (time.monotonic() - self._begin) / self.seconds) if self.seconds else done

    def _launch(self, turn: Turn) -> None:
        turn.server.start()
        turn.launched = time.monotonic()
        turn.dies_unborn = self.rng.random() < UNBORN
        turn.due = turn.launched + self.rng.uniform(0.3, 3.0) if turn.dies_unborn else 0.0

    def _let_live(self, turn: Turn) -> None:
        soon = self.rng.random() < SOON
        turn.dies_unborn = False
        turn.due = time.monotonic() + (self.rng.uniform(0.03, 0.4) if soon else self.rng.uniform(0.5, 2.5))

    def _step(self, turn: Turn, now: float) -> None:
        """One look at one server: is something due?"""
        server = turn.server
        if not server.process or server.process.returncode is not None:
            if now >= turn.due:
                self._launch(turn)
            return
        if not server.running:
            self.problems.append(
                f"the server of {server.name} ended by itself (exit code {server.process.returncode})"
            )
            turn.due = now
            return
        if not turn.due:
            if server.up:
                self._let_live(turn)
            elif now - turn.launched > PATIENCE:
                self.problems.append(f"the server of {server.name} did not come up within {PATIENCE:.0f} s")
                self._kill_server(turn)
        elif now >= turn.due:
            self._kill(turn)

    def _kill(self, turn: Turn) -> None:
        if turn.dies_unborn or turn.server.name == "threads" or self.rng.random() < MASTER:
            self._kill_server(turn)
        elif turn.server.kill_worker(self.rng):
            self.killed["cron worker"] += 1
            self._let_live(turn)

    def _kill_server(self, turn: Turn) -> None:
        kind = "starting server" if turn.dies_unborn else f"server of {turn.server.name}"
        turn.server.kill()
        self.killed[kind] += 1
        turn.due = time.monotonic() + self.rng.uniform(0.1, 1.5)

    def _all_up(self) -> None:
        end = time.monotonic() + PATIENCE
        while not all(turn.server.up for turn in self.turns):
            for turn in self.turns:
                if not turn.server.running:
                    self._launch(turn)
            if time.monotonic() > end:
                raise SetupError("The servers do not come up; their logs tell why.")
            time.sleep(0.1)

    def _crash(self) -> None:
        """Crash the database under both servers, which are to live through it."""
        self._all_up()
        lives = [turn.server.launches for turn in self.turns]
        say(f"  the database crashes after {self.killed.total()} kills")
        self.cluster.crash()
        self.crashes += 1
        time.sleep(AFTER_CRASH)
        for turn, before in zip(self.turns, lives, strict=True):
            if not turn.server.running or turn.server.launches != before:
                self.problems.append(f"the server of {turn.server.name} died of the database's crash")
            else:
                self._let_live(turn)
