"""Limits, as arithmetic: when may the next message leave? Plain Python; the database is in the models.

Times are seconds since 1970. Windows slide, and are never exceeded: what was sent is counted in buckets of a
3600th of the period, and a bucket counts until its last moment has left the window.
"""

import heapq
import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from .road import EMAIL

BUCKETS = 3600
DAY = 24 * 3600
# Meta takes about one message in six seconds from one sender to one number (providers.md 1.6).
PAIR_SECONDS = 6.0
# A place within so many seconds is taken right away; the message waits in memory.
HORIZON = 2.0
# Pauses between messages are a little longer than asked for, so that they do not look like a machine's.
JITTER = 0.25
# How long a probe may take before the next one may go.
PROBE_SECONDS = 120.0
# While it is under way the others ask again every so many seconds.
ASK_AGAIN = 5.0

EPOCH = datetime(1970, 1, 1)


def precise_now():
    """Give the time of this host in UTC, with fractions of a second (`fields.Datetime.now` has none)."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def seconds(moment):
    """Give a datetime in UTC as seconds since 1970; 0 for none."""
    return (moment - EPOCH).total_seconds() if moment else 0.0


def moment_of(since):
    """Give seconds since 1970 as a datetime in UTC; None for 0."""
    return EPOCH + timedelta(seconds=since) if since else None


class Window:
    """At most `limit` messages within any `period` seconds.

    :param used: (bucket, count) of what was sent
    :param planned: (moment, count) of the places that waiting messages have been given
    """

    def __init__(self, limit, period, now, used=(), planned=()):
        self.limit, self.period, self.now = limit, period, now
        self._size = period / BUCKETS
        frees = [(self._forgotten(bucket), count) for bucket, count in used]
        self._frees = [(moment, count) for moment, count in frees if moment > now]
        self._used = sum(count for _moment, count in self._frees)
        self._line = None
        self._planned = [(moment, count) for moment, count in planned if moment > now]
        self.taken = {}
        self.booked = {}

    def has_room(self):
        """Whether one more may leave now."""
        return self._used < self.limit

    def take(self, at):
        """Count one that leaves at a moment, which is now or very soon."""
        self._used += 1
        bucket = math.floor(at / self._size) * self._size
        self.taken[bucket] = self.taken.get(bucket, 0) + 1
        self._frees.append((self._forgotten(bucket), 1))
        self._line = None

    def _forgotten(self, bucket):
        """Give the moment at which all that a bucket counts has left the window."""
        return bucket + self._size + self.period

    def first_free(self):
        """Give the moment at which one more may leave."""
        if self.limit < 1:
            return self.now + self.period
        over = self._used - self.limit + 1
        for moment, count in sorted(self._frees):
            if over <= 0:
                break
            over -= count
            if over <= 0:
                return moment
        return self.now

    def book(self):
        """Give the last one in the line its place: the moment at which there is room behind all others."""
        if self.limit < 1:
            return self.now + self.period
        if self._line is None:
            self._line = [*self._frees, *((moment + self.period, count) for moment, count in self._planned)]
            heapq.heapify(self._line)
            self._occupied = sum(count for _moment, count in self._line)
            self._place = self.now
        while self._occupied >= self.limit:
            moment, count = heapq.heappop(self._line)
            self._occupied -= count
            self._place = max(self._place, moment)
        heapq.heappush(self._line, (self._place + self.period, 1))
        self._occupied += 1
        self._planned.append((self._place, 1))
        self.booked[self._place] = self.booked.get(self._place, 0) + 1
        return self._place


@dataclass(slots=True)
class State:
    """How a provider stands. `next_slot` is when its next message may start, by its pace."""

    next_slot: float = 0.0
    paused_until: float = 0.0
    probe_date: float = 0.0
    probing: bool = False
    changed: bool = False


@dataclass(slots=True)
class Turns:
    """When the next auto message of a company may leave, and the end of the places that were given in this
    turn of the drain.
    """

    next_slot: float = 0.0
    given: float = 0.0
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Full:
    """No room: not before `until`; `cause` and the rule, the sender or the seconds of a pause say why."""

    until: float
    cause: str
    what: object


class Ledger:
    """All limits that the messages of one turn meet. Filled under lock by the allowance model, and written
    back by it.

    :param float now: the moment of the turn
    :param dict senders: {provider id: Sender}
    :param dict rules: {rule id: Rule}
    :param dict windows: {subject: Window}
    :param dict states: {provider id: State}
    :param dict lines: {(provider id, group): moment of the last place that was given}
    :param dict pairs: {(provider id, phone): (moment of the last message, moment of the last one outside a
        service window)}
    :param dict reached: {provider id: (numbers written to within a day, when the first of them is forgotten)}
    :param float horizon: seconds for which a message may wait for its place in memory
    :param dict turns: {company id: Turns} of the auto messages
    :param dict delays: {auto message id: seconds of the pause after each of its messages}
    """

    def __init__(
        self,
        now,
        senders,
        rules,
        *,
        windows,
        states,
        lines,
        pairs,
        reached,
        default_priority,
        horizon,
        turns=None,
        delays=None,
    ):
        self.now, self.senders, self.rules = now, senders, rules
        self.windows, self.states, self.lines = windows, states, lines
        self.pairs, self.reached = pairs, reached
        self.new_pairs, self.new_lines = {}, {}
        self.turns, self.delays = turns or {}, delays or {}
        self._default_priority, self._horizon = default_priority, horizon

    def admit(self, job):
        """Take what the next attempt of a job needs, or say when there may be room.

        The job's routes begin with the one that was chosen.

        :return: the moment at which the request may leave; a Full; None when no way is left
        """
        rule = self.rules.get(job.row.rule_id)
        window = None if job.rule_counted or not rule else self.windows.get(f"rule:{rule.id}")
        if window and not window.has_room():
            return Full(self._place(window, job), "rule", rule)
        if job.row.channel == EMAIL:  # no provider, and so no further limit
            if window:
                window.take(self.now)
                job.rule_counted = True
            return self.now
        turns = None if job.paced else self.turns.get(self._company_of_auto(job))
        if turns and turns.next_slot > self.now + self._horizon:
            return self._turn_later(turns, job)
        later = []
        for index, route in enumerate(job.routes):
            sender = self.senders.get(route.provider_id)
            if sender is None:
                continue
            found = self._look(sender, job)
            if isinstance(found, Full):
                if found.cause in ("pause", "pair", "pace"):  # soon over: no reason to go to another one
                    return found
                later.append(found)
                continue
            if turns:
                found = max(found, turns.next_slot)
                turns.next_slot, turns.changed = found + self._pause_after(job), True
                job.paced = True
            if window:
                window.take(found)
                job.rule_counted = True
            self._take(sender, job, found)
            del job.routes[:index]
            return found
        return min(later, key=lambda full: full.until, default=None)

    def _look(self, sender, job):
        """When may this sender send this message? A moment within the horizon, or a Full."""
        now, state = self.now, self.states.get(sender.id) or State()
        if state.probe_date > now:
            until = min(state.probe_date, now + ASK_AGAIN) if state.probing else state.probe_date
            return Full(until, "circuit", sender)
        if state.paused_until > now:
            return Full(state.paused_until, "pause", sender)
        daily = self.windows.get(f"provider:{sender.id}")
        if daily and not daily.has_room():
            return Full(self._place(daily, job), "daily", sender)
        last, opened = self.pairs.get((sender.id, job.row.phone), (0.0, 0.0))
        if sender.messaging_limit > 0 and not job.window_open and opened <= now - DAY:
            count, frees = self.reached.get(sender.id, (0, now))
            if count >= sender.messaging_limit:
                return Full(max(frees, now + 60), "reach", sender)
        free = last + PAIR_SECONDS
        # One that waits for its recipient must not keep the others from their turns.
        if free > now + self._horizon or (sender.interval and free > max(now, state.next_slot)):
            return Full(free, "pair", sender)
        if state.next_slot > now + self._horizon:
            return Full(self._place_in_line(sender, state, job), "pace", sender)
        return max(now, free, state.next_slot)

    def _take(self, sender, job, at):
        state = self.states.get(sender.id)
        if state:
            if state.probe_date:  # its circuit is open and this is the probe: nobody else before it is back
                state.probe_date, state.probing = self.now + PROBE_SECONDS, True
                state.changed = True
            if sender.interval:
                jitter = random.uniform(0, JITTER) * (sender.min_delay_seconds or 0.0)
                state.next_slot = at + sender.interval + jitter
                state.changed = True
        if daily := self.windows.get(f"provider:{sender.id}"):
            daily.take(at)
        if sender.provider_type == "meta":
            key = (sender.id, job.row.phone)
            _last, opened = self.pairs.get(key, (0.0, 0.0))
            if not job.window_open:
                if opened <= self.now - DAY:
                    count, frees = self.reached.get(sender.id, (0, self.now + DAY))
                    self.reached[sender.id] = (count + 1, frees)
                opened = self.now
            self.pairs[key] = self.new_pairs[key] = (at, opened)

    # === AUTO MESSAGES ===#

    def _company_of_auto(self, job):
        return job.row.company_id if job.row.auto_message_id in self.delays else None

    def _pause_after(self, job):
        return self.delays[job.row.auto_message_id]

    def _turn_later(self, turns, job):
        """Give a place behind those that wait already in this turn of the drain. Nobody keeps a line across
        turns: of those that meet at a place the oldest goes, so that no auto message waits for the end of
        another one. Of a thousand that are due at once some thirty meet at each place, once in a pause.
        """
        pause = self._pause_after(job)
        place = max(turns.next_slot, turns.given)
        turns.given = place + pause
        return Full(place, "auto", pause)

    # === WAITING ===#

    def _is_urgent(self, job):
        return job.row.priority > self._default_priority

    def _place(self, window, job):
        """Urgent messages, and those that have waited in the line, do not go to its end (again)."""
        if self._is_urgent(job) or job.row.error_class == "limited":
            return window.first_free()
        return window.book()

    def _place_in_line(self, sender, state, job):
        """Every rule and campaign has a line of its own, so that a long one does not stop the others.

        Several lines promise more places than there are: those who come and find none stand in one further
        line, which all share.
        """
        row = job.row
        if self._is_urgent(job):
            return state.next_slot
        if row.error_class == "limited":
            group = "again"
        else:
            group = f"c{row.campaign_id}" if row.campaign_id else f"r{row.rule_id or 0}"
        place = max(state.next_slot, self.lines.get((sender.id, group), 0.0))
        self.lines[(sender.id, group)] = self.new_lines[(sender.id, group)] = place + sender.interval
        return place
