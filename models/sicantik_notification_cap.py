import zlib
from collections import Counter
from datetime import timedelta

from odoo import _, api, models

from .company_time import to_local
from .limits import precise_now
from .road import URGENT, Place, Refusal, Wait

# The first half of the advisory locks on numbers; any number that nobody else uses.
LOCK_SPACE = 727_101
# When to look again whether the messages under way have left.
LOOK_AGAIN = timedelta(minutes=1)


class SicantikNotificationCap(models.AbstractModel):
    """The frequency cap: how many messages a recipient gets from a company in a day, over all its rules.

    It is decided when a message is about to leave. The queue rows themselves are what is counted: with its
    provider a row gets the day on which it counts (`counted_on`), and loses it when it ends without having
    left. So a further attempt counts no second time, and what never left takes no place. A number is locked
    while its rows are counted, so that workers do not count at the same time.

    Urgent messages are not capped, and do not count. Without a cap nothing is read, locked or written.
    """

    _name = "sicantik.notification.cap"
    _description = "Frequency Cap"

    @api.model
    def _ask(self, jobs, rules, policies):
        """Write into jobs what they have to take of their recipients' day before they leave.

        A message that was to leave on an earlier day and did not takes of today.

        :param list[Job] jobs: planned messages
        :param dict rules: {rule id: road.Rule}
        :param dict policies: {company id: Policy}
        """
        now = precise_now()
        capped = {id_: policy for id_, policy in policies.items() if policy.cap}
        today = {id_: to_local(now, policy.zone).date() for id_, policy in capped.items()}
        if not today:
            return
        for job in jobs:
            row, rule = job.row, rules.get(job.row.rule_id)
            urgent = row.priority >= URGENT or (rule and rule.urgent)
            day = today.get(row.company_id)
            if day and job.routes and not urgent and row.counted_on != day:
                policy = capped[row.company_id]
                job.place = Place(row.company_id, row.phone, day, policy.cap, policy.zone)

    @api.model
    def _open(self, jobs, lock=True):
        """Lock the numbers of messages that have to take a place, until the end of the transaction, and
        count what they have had.

        :param list[Job] jobs: messages that are about to leave
        :param bool lock: whether to lock them; else it is only to be told how it stands
        :return: None when none of them has to
        :rtype: Places
        """
        asking = [job for job in jobs if job.place]
        asked = {(job.place.company_id, job.place.phone, job.place.day) for job in asking}
        if not asked:
            return None
        cr = self.env.cr
        # In one order for all workers. Two numbers that share a lock wait for each other, no more.
        locks = sorted({_signed(zlib.crc32(f"{company}:{phone}".encode())) for company, phone, _day in asked})
        if lock:
            cr.execute(
                "SELECT pg_advisory_xact_lock(%s, number) FROM unnest(%s) AS number", [LOCK_SPACE, locks]
            )
        cr.execute(
            """
            SELECT q.company_id, q.phone, q.counted_on, count(*),
                   count(*) FILTER (WHERE q.state IN ('pending', 'processing')),
                   max(q.scheduled_date) FILTER (WHERE q.state = 'pending')
              FROM unnest(%s, %s, %s::date[]) AS asked (company_id, phone, day)
              JOIN sicantik_notification_queue q
                ON q.phone = asked.phone AND q.counted_on = asked.day AND q.company_id = asked.company_id
             WHERE q.counted_on IS NOT NULL AND q.state <> 'cancelled' AND q.id <> ALL(%s)
          GROUP BY q.company_id, q.phone, q.counted_on
            """,
            # Not those that ask: a commit whose answer was lost is done again.
            [*(list(column) for column in zip(*asked, strict=True)), [job.row.id for job in asking]],
            log_exceptions=False,  # the server would log the numbers
        )
        had, open_, until = Counter(), Counter(), {}
        for company, phone, day, count, under_way, last in cr.fetchall():
            had[company, phone, day], open_[company, phone, day] = count, under_way
            until[company, phone, day] = last
        return Places(self.env, had, open_, until)


class Places:
    """How many messages recipients have had on their day, while those of one turn are admitted.

    :param env: whose language the reasons are in
    :param Counter had: {(company id, number, day): count}
    :param Counter open_: how many of them have not ended yet
    :param dict until: when the last of those is tried again, None when they are leaving now
    """

    def __init__(self, env, had, open_, until):
        self.env, self._had, self._open, self._until = env, had, open_, until

    def verdict(self, job):
        """Give None for a message that may leave, a Refusal for one whose recipient has had as many as the
        cap allows, a Wait for one whose recipient will have, unless one that is under way fails.
        """
        place = job.place
        if not place:
            return None
        key = place.company_id, place.phone, place.day
        if self._had[key] < place.cap:
            return None
        if self._had[key] - self._open[key] < place.cap:
            again = precise_now() + LOOK_AGAIN
            return Wait(
                max(again, self._until.get(key) or again),
                _(
                    "Waits for other messages to the same recipient, which are under way: with them the "
                    "recipient has had the %s that the settings allow a day.",
                    place.cap,
                ),
            )
        return Refusal(
            "capped",
            _(
                "Left out: since %(day)s 00:00 (%(zone)s) the recipient has had %(count)s messages, and the "
                "settings allow %(cap)s a day. Retry it on another day, or mark its rule as urgent.",
                day=place.day.strftime("%d-%m-%Y"),
                zone=place.zone,
                count=self._had[key],
                cap=place.cap,
            ),
        )

    def take(self, job):
        """Count a message that leaves now, and have its row remember that."""
        if job.place:
            key = job.place.company_id, job.place.phone, job.place.day
            self._had[key] += 1
            self._open[key] += 1
            job.counted_on, job.place = job.place.day, None


def _signed(number):
    """Give an unsigned 32-bit number as the signed one that PostgreSQL takes."""
    return number - 2**32 if number >= 2**31 else number
