"""One run of the drain, as a pipeline: claim → plan → deliver → settle, with requests in flight all the time.

Threads do nothing but HTTP (`providers.Deliveries`). This thread claims, plans and settles around them, in
short transactions on one connection (`Worker`), none of which is open while it waits.
"""

import logging
import time
import traceback
from collections import Counter, deque
from dataclasses import replace

from ..providers import Deliveries, goes_on
from .budget import LONGEST_RUN, Budget
from .limits import precise_now
from .sicantik_notification_campaign_health import Watch
from .sicantik_whatsapp_event import apply_pending

_logger = logging.getLogger(__name__)

# Requests in flight, unless the settings say otherwise, and at most: the transport keeps so many connections.
# As many again are handed over ahead of them so that no thread waits for the database: whoever dies leaves at
# most so many messages in doubt.
IN_FLIGHT = 32
MOST_IN_FLIGHT = 64
# Rows claimed at once. They are not in doubt before they are handed over.
CLAIM = 100
# Seconds for which answers are gathered, so that they are written together.
GATHER = 0.015
# Seconds by which a message of a provider with a pace may miss its turn because others hold all threads.
TURN_PATIENCE = 0.5
# Seconds after which a run that has nothing left to begin looks for more.
LOOK_AGAIN = 1.0
# Seconds for which what is read of providers, rules and templates holds.
FRESH = 1.0
# Seconds after which it looks for what providers have told.
LISTEN_AGAIN = 1.0
# … and after that failed: what it waited for, messages do not wait for again and again.
LISTEN_AFTER_FAILURE = 60.0
# A run waits so many seconds for a message's turn, when nobody waits for its end …
LINGER = 30.0
# … and so many when somebody does.
LINGER_FOR_CALLERS = 5.0


class Run:
    """One run of the drain: the rows that it has claimed, and the messages that it has in flight.

    :param Worker worker: whose claims they are
    :param bool scheduled: whether the scheduler runs it; else a person, a program or a job waits for its end
    :param list ids: only these rows, whatever their schedule
    :param float seconds: begin nothing new after so many seconds
    :param int in_flight: how many requests at once
    """

    def __init__(self, worker, scheduled=False, ids=None, seconds=LONGEST_RUN, in_flight=IN_FLIGHT):
        self.worker, self.ids, self.in_flight = worker, ids, in_flight
        self.linger = LINGER if scheduled else LINGER_FOR_CALLERS
        self.totals = Counter()
        self.directory, self.rules, self.read_at = None, {}, 0.0
        self.claimed = deque()  # rows that are ours and not planned yet
        self.flying = {}  # {row id: Job}
        self.more = True  # whether there may be due rows that nobody has claimed
        self.after = None  # the row after which the next claim looks
        self.look_again = 0.0  # when to look from the beginning, also although there were none
        self.listen_again = 0.0  # when to look for what providers have told
        self.told_more = False  # whether there is more of it than one look takes
        self.in_vain = 0  # how often in a row there were none although the database said so
        self.watch = Watch()  # over campaigns that mostly fail
        self.budget = Budget(scheduled, longest=seconds)
        self.is_over = self.budget.is_over

    def drain(self, alone=False):
        """Keep requests in flight until nothing is due or the budget is spent, and settle all of them.

        :param bool alone: one row, of those whose workers have died again and again
        """
        self.deliveries = Deliveries(1 if alone else self.in_flight)
        try:
            while True:
                over = self.is_over()
                if not over and self.ids is None:
                    if self.told_more or time.monotonic() > self.listen_again:
                        self.listen()
                if not over:
                    self.claim(alone)
                answers = self.gather(over)
                if answers or (self.claimed and not over):
                    self.turn(answers, plan=not over)
                elif not self.flying and (over or alone or not (self.told_more or self.wait())):
                    break
        finally:
            self.end()

    def drain_alone(self):
        """Drain one row that has cost several workers their lives, with nothing else in danger.

        :return: whether there was one
        """
        before = self.totals.copy()
        self.more = True
        self.drain(alone=True)
        return self.totals != before

    # === LISTEN ===#

    def listen(self):
        """Apply what providers have told by webhook; a message may come back by it.

        If that fails, messages are sent all the same.
        """
        self.listen_again = time.monotonic() + LISTEN_AGAIN
        failing = set()
        try:
            count, self.told_more = apply_pending(self.worker, failing)
            if count:
                self.more = True
        except Exception as error:
            if self.worker.is_lost:
                raise
            self.told_more = False  # not again and again in one run
            self.listen_again = time.monotonic() + LISTEN_AFTER_FAILURE
            # The text of the error could quote a number or a message.
            _logger.error(
                "Webhook events could not be applied: %s\n%s",
                type(error).__name__,
                "".join(traceback.format_tb(error.__traceback__)),
            )
        self.look_at(failing)  # refused late: the watch has seen them as sent

    # === CLAIM ===#

    def claim(self, alone=False):
        if self.ids is None and not alone and time.monotonic() > self.look_again:
            self.after = None  # what is more urgent may have come
            if self.flying:
                self.more = True  # a slow answer must not keep what has come due meanwhile
        if self.more and len(self.claimed) < self.in_flight:
            limit = 1 if alone else CLAIM
            number, ids, after = self.worker.number, self.ids, self.after
            rows = self.worker.run(
                lambda env: env["sicantik.notification.drain"]._claim(number, limit, ids, alone, after)
            )
            self.claimed.extend(rows)
            if ids is not None:  # once each: what has to wait would be claimed again and again
                self.ids = list(set(ids).difference(row.id for row in rows))
            if not after:
                self.look_again = time.monotonic() + LOOK_AGAIN
                self.in_vain = 0 if rows else self.in_vain + 1
            full = len(rows) == limit and not alone
            self.more = full or after is not None
            self.after = rows[-1] if full and ids is None else None

    def wait(self):
        """Wait for what is due soon; tell whether there is anything worth it."""
        if self.ids is not None:
            return False
        within = min(self.linger, self.budget.until - time.monotonic())
        due = self.worker.run(lambda env: env["sicantik.notification.drain"]._next_due(within))
        if not due:
            return False
        seconds = (due - precise_now()).total_seconds()
        if seconds <= 0 and self.in_vain > 3:  # others are about to take it
            return False
        time.sleep(min(max(seconds, 0.05), 1.0))
        self.more = True
        return True

    # === DELIVER ===#

    def gather(self, over):
        """Take the answers that have come, and wait for some while there is nothing better to do."""
        room = 2 * self.in_flight - len(self.flying)
        can_plan = self.claimed and room >= self.in_flight / 2 and not over
        if can_plan or not self.flying:
            return self.deliveries.finished(0)
        answers = self.deliveries.finished(0.5)
        if answers and len(answers) < min(self.in_flight / 2, len(self.flying)):
            time.sleep(GATHER)
            answers += self.deliveries.finished(0)
        return answers

    # === PLAN AND SETTLE ===#

    def turn(self, answers, plan, last=False):
        """Settle what has ended, and plan what may go next, in one transaction.

        :param list answers: what `Deliveries.finished` gave
        :param bool plan: whether rows that are claimed may begin
        :param bool last: whether nothing can be sent any more, not even to a next provider
        """
        ended, onward, unsent = [], [], []
        for id_, route, attempt in answers:
            job = self.flying[id_]
            if attempt is None:  # its turn has passed: it needs another one
                job.paced = False
                (unsent if last else onward).append(job)
                continue
            job.attempts.append((route, attempt))
            job.routes = job.routes[1:] if goes_on(attempt) and not last else []
            (onward if job.routes else ended).append(job)
        outcomes = [(route.provider_id, attempt) for _id, route, attempt in answers if attempt]
        room = 2 * self.in_flight - len(self.flying) + len(answers)
        rows = [self.claimed.popleft() for _i in range(min(room, len(self.claimed)))] if plan else []
        self.note(outcomes)
        try:
            go, totals, results = self.worker.run(lambda env: self.step(env, ended, onward, rows))
        except Exception:
            if self.worker.is_lost:  # no more can be done
                raise
            # One of them cannot be written or planned: each by itself, so that it costs the others nothing.
            go, totals, results = self.one_by_one(ended, onward, rows)
        for id_, _route, _attempt in answers:
            del self.flying[id_]
        self.totals += totals
        paced = {sender.id for sender in self.directory.senders if sender.interval} if go else ()
        for job, at in go:
            route = job.routes[0]
            has_turn = at and (job.paced or route.provider_id in paced)
            patience = TURN_PATIENCE if has_turn else float("inf")
            self.flying[job.row.id] = job
            self.deliveries.submit(job.row.id, route, at, patience)
        self.put_off([job.row.id for job in unsent], 0)
        self.look_after(results)

    def note(self, outcomes):
        """Take note of how providers are, in a transaction of its own: the step's takes other allowances, in
        an order that all workers keep. If that fails, what has been sent is settled all the same.
        """
        if not outcomes:
            return
        try:
            if self.worker.run(lambda env: env["sicantik.whatsapp.circuit"]._note(outcomes)):
                self.directory = None  # to be read again
        except Exception as error:
            if self.worker.is_lost:
                raise
            self.log_failure("the circuits could not be told", error)

    def look_after(self, results):
        """Have campaigns paused that mostly fail."""
        self.look_at(self.watch.note(results))

    def look_at(self, suspects):
        """Have those of the campaigns paused of whose last messages too many failed.

        :param set suspects: ids of campaigns
        """
        if suspects:
            self.watch.learn(
                *self.worker.run(lambda env: env["sicantik.notification.campaign.health"]._look(suspects))
            )

    def step(self, env, ended, onward, rows):
        """What a turn does in its transaction, which may be done again: it changes no job that it was
        given.
        """
        drain = env["sicantik.notification.drain"]
        settlement = env["sicantik.notification.settlement"]
        self.read_facts(env, rows)
        senders = {sender.id: sender for sender in self.directory.senders}
        jobs = [
            replace(job, routes=list(job.routes), attempts=list(job.attempts)) for job in onward
        ] + drain._prepare(rows, self.directory, self.rules)
        held = [job for job in jobs if job.verdict]
        go, stay = drain._admit(
            self.worker.number, [job for job in jobs if not job.verdict], senders, self.rules
        )
        stay += held
        totals = settlement._settle(self.worker.number, ended + stay, senders, self.rules)
        results = [(job.row.campaign_id, job.settled) for job in ended + stay if job.row.campaign_id]
        return go, totals, results

    def one_by_one(self, ended, onward, rows):
        go, totals, results = [], Counter(), []
        singles = [([job], [], []) for job in ended] + [([], [job], []) for job in onward]
        singles += [([], [], [row]) for row in rows]
        for one in singles:
            try:
                gone, counts, ends = self.worker.run(lambda env, one=one: self.step(env, *one))
            except Exception as error:
                if self.worker.is_lost:
                    raise
                self.log_failure("a message could not be planned or settled", error)
                self.put_off([row.id for row in one[2]])
                continue
            go += gone
            totals += counts
            results += ends
        return go, totals, results

    def log_failure(self, what, error):
        # The text of a database error quotes the row, and with it numbers and names.
        _logger.error(
            "Notification queue: %s: %s\n%s",
            what,
            type(error).__name__,
            "".join(traceback.format_tb(error.__traceback__)),
        )

    def put_off(self, ids, seconds=60):
        """Give back rows, for a while: nothing of them has left."""
        if ids:
            number = self.worker.number
            self.worker.run(lambda env: env["sicantik.notification.drain"]._release(number, ids, seconds))

    def read_facts(self, env, rows):
        """Read providers, templates and rules again when they are stale or do not cover these rows."""
        now = time.monotonic()
        known = self.directory is not None and all(
            row.company_id in self.directory.policies
            and (not row.rule_id or row.rule_id in self.rules)
            and (not row.template_key or row.template_key in self.keys)
            for row in rows
        )
        if known and now - self.read_at < FRESH:
            return
        waiting = [*rows, *self.claimed, *(job.row for job in self.flying.values())]
        self.directory, self.rules = env["sicantik.notification.drain"]._facts(waiting)
        self.keys = {row.template_key for row in waiting}
        self.read_at = now

    def end(self):
        """Wait for what is in flight, settle it, and give back what never left."""
        ids = [*self.deliveries.close(), *(row.id for row in self.claimed)]
        self.claimed.clear()
        for id_ in ids:
            self.flying.pop(id_, None)
        answers = self.deliveries.finished(0)
        if answers:
            self.turn(answers, plan=False, last=True)
        self.put_off(ids, 0)
