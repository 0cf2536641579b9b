import logging
from collections import deque
from datetime import timedelta

from dateutil.relativedelta import relativedelta

from odoo import _, api, fields, models
from odoo.tools import SQL

from . import offsets
from .budget import Budget
from .company_time import coming, day_start, to_local
from .sicantik_notification_evaluation import PER_RECORD_NAMES, Event
from .sicantik_notification_queue import CRON
from .transaction import Transactions

_logger = logging.getLogger(__name__)

TRIGGERS = "sicantik.notification.trigger"
# Records that one transaction fires for.
CHUNK = 500
# A pass takes this share of what Odoo allows at most, and never longer, since the drain comes after it …
SHARE = 0.25
LONGEST_PASS = 60
# … and a run by hand, for whose end somebody waits, not even that.
LONGEST_BY_HAND = 10
CATCH_UP = "sicantik_notification_automation.catch_up_hours"
DEFAULT_CATCH_UP = 24
# Hours. The memory of what has fired is kept a little longer (`sicantik_notification_cleanup`).
LONGEST_CATCH_UP = 30 * 24
# Between two looks of the clock lies a run of the drain: nothing may be too late by then.
LEAST_LATE = timedelta(minutes=5)


class SicantikNotificationClock(models.AbstractModel):
    """Fires the triggers whose time has come, each time the scheduled action runs.

    It takes its steps in short transactions of its own. A step locks one trigger, passing over those that
    another server is at, fires it for a chunk of records and notes how far it got, all in one transaction: so
    whatever kills it in between, nothing is left out and nothing comes twice. Triggers take turns.

    * `cron`: one run when `next_run` has come, however often it would have come while the server was down. A
      run goes through the records in the order of their ids.
    * `on_time`: each record, offset and value of the date fires once, which is decided by
      `sicantik.notification.moment`. A moment fires when it has come, or within the tolerance before; when it
      is further in the past than what is caught up for it is dropped, with a note on the trigger.
    """

    _name = "sicantik.notification.clock"
    _description = "Notification Clock"

    # === ENTRY POINTS ===#

    @api.model
    def _run(self):
        """Fire what is due, within a budget of time; then wake the scheduled action for what comes next.

        Nothing that goes wrong leaves this method: the queue is drained all the same.
        """
        try:
            now = fields.Datetime.now()
            with Transactions(self._surroundings().env) as transactions:
                steps = transactions.run(lambda env: env[self._name]._due(now))
                more = self._take_turns(transactions, steps, now, Budget(True, SHARE, LONGEST_PASS))
                transactions.run(lambda env: env[self._name]._wake(now, more))
        except Exception as error:
            self.env["sicantik.notification.evaluation"]._log_failure(error, "Notification: the clock failed")

    @api.model
    def _run_by_hand(self, trigger_id):
        """Begin a run of a `cron` trigger and do as much of it as somebody waits for.

        What it has done is told from there, since the caller's transaction may not see it.

        :return: for how many records it fired, whether there are more, what went wrong or None; None when
            another run of it is under way
        :rtype: tuple
        """
        now = fields.Datetime.now()
        with Transactions(self._surroundings().env) as transactions:
            before = transactions.run(lambda env: env[self._name]._begin_by_hand(trigger_id, now))
            if before is None:
                return None
            steps = [("_step_of_run", trigger_id)]
            more = self._take_turns(transactions, steps, now, Budget(True, SHARE, LONGEST_BY_HAND))
            count, error = transactions.run(lambda env: env[self._name]._end_by_hand(trigger_id, more))
        return count - before, more, error

    def _surroundings(self):
        """The scheduled action has neither language nor time zone; what it says is read in the office."""
        company = self.env["res.company"]._get_main_company().sudo()
        return self.with_context(
            lang=company.partner_id.lang or self.env.lang, tz=self.env[TRIGGERS]._company_zone()
        )

    # === STEPS ===#

    def _due(self, now):
        """Find the triggers to look at.

        Relative to a date there is nothing to fire for a trigger without rules; what comes due until it has
        some counts as seen.

        :return: [(name of the method that takes a step, trigger id)]
        :rtype: list
        """
        # Of a version in which it could stay empty.
        self.env[TRIGGERS].search(
            [("trigger_type", "=", "cron"), ("next_run", "=", False), ("cron_interval_number", ">", 0)]
        )._fill_next_run()
        self.env[TRIGGERS].flush_model()
        self.env["sicantik.notification.rule"].flush_model(["active", "trigger_id"])
        self.env.cr.execute(
            """
            SELECT CASE trigger_type WHEN 'cron' THEN '_step_of_run' ELSE '_step_of_moments' END, id
              FROM sicantik_notification_trigger AS t
             WHERE active
               AND (trigger_type = 'cron' AND (run_slot IS NOT NULL OR next_run <= %(now)s)
                    OR trigger_type = 'on_time' AND EXISTS (SELECT 1 FROM sicantik_notification_rule
                                                             WHERE trigger_id = t.id AND active))
          ORDER BY sequence, id
            """,
            {"now": now},
        )
        steps = self.env.cr.fetchall()
        # Not every minute.
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_trigger SET looked_date = %(now)s
             WHERE id IN (SELECT id FROM sicantik_notification_trigger AS t
                           WHERE active AND trigger_type = 'on_time'
                             AND COALESCE(looked_date, '-infinity') < %(before)s
                             AND NOT EXISTS (SELECT 1 FROM sicantik_notification_rule
                                              WHERE trigger_id = t.id AND active)
                             FOR NO KEY UPDATE SKIP LOCKED)
            """,
            {"now": now, "before": now - LEAST_LATE},
        )
        if self.env.cr.rowcount:
            self.env[TRIGGERS].invalidate_model(["looked_date"])
        return steps

    def _take_turns(self, transactions, steps, now, budget):
        """Take steps, of one trigger after the other, until none is left or the budget is spent.

        :param list steps: from `_due`
        :return: whether some are left
        :rtype: bool
        """
        waiting = deque((method, id_, None) for method, id_ in steps)
        while waiting and not budget.is_over():
            method, id_, place = waiting.popleft()
            try:
                place = transactions.run(
                    lambda env, method=method, id_=id_, place=place: getattr(env[self._name], method)(
                        id_, now, place
                    )
                )
            except Exception as error:
                if transactions.is_lost:  # no more can be done
                    raise
                sentence = self.env["sicantik.notification.evaluation"]._sentence(error)
                self.env["sicantik.notification.evaluation"]._log_failure(
                    error, "Notification: the clock failed at trigger %s", id_
                )
                transactions.run(
                    lambda env, id_=id_, sentence=sentence: env[self._name]._note_failure(
                        env[TRIGGERS].browse(id_).exists(), sentence
                    )
                )
                continue
            if place is not None:
                waiting.append((method, id_, place))
        return bool(waiting)

    def _lock(self, trigger_id):
        """Lock a trigger, without keeping transactions waiting that fire triggers or refer to this one.

        :return: the trigger; an empty recordset when it is gone, archived, or somebody else is at it
        """
        self.env[TRIGGERS].flush_model()
        self.env.cr.execute(
            """
            SELECT id FROM sicantik_notification_trigger
             WHERE id = %s AND active FOR NO KEY UPDATE SKIP LOCKED
            """,
            [trigger_id],
        )
        trigger = self.env[TRIGGERS].browse(id_ for (id_,) in self.env.cr.fetchall())
        trigger.invalidate_recordset()
        return trigger

    def _write(self, trigger, **values):
        """Write columns of a trigger. Not by the ORM: capture need not forget what it knows of triggers."""
        self.env.cr.execute(
            SQL(
                "UPDATE sicantik_notification_trigger SET %s WHERE id = %s",
                SQL(", ").join(SQL("%s = %s", SQL.identifier(name), value) for name, value in values.items()),
                trigger.id,
            )
        )
        trigger.invalidate_recordset(values)

    def _note_failure(self, trigger, sentence):
        """Say on a trigger what is wrong with it, once and not every minute.

        :param str sentence: begins with the time
        """
        if not trigger:
            return
        said = (trigger.last_error or "").partition(" UTC: ")[2]
        if not trigger.is_failing or said != sentence.partition(" UTC: ")[2]:
            self.env["sicantik.notification.execution"]._note(trigger, error=sentence)
        if not trigger.is_failing:
            self._write(trigger, is_failing=True)

    def _note_success(self, trigger):
        """Take back what was said to be wrong."""
        if trigger.is_failing:
            journal = self.env["sicantik.notification.execution"]
            journal._write_rows([journal._row(trigger)])
            self._write(trigger, is_failing=False)

    def _fire(self, trigger, records, events):
        """Hand records to the rules of a trigger, and keep the journal."""
        _result, _made, rows = trigger._fire(records, events)
        self.env["sicantik.notification.execution"]._write_rows(rows)

    def _is_per_record(self, trigger):
        """Tell whether the condition of a trigger can only be evaluated for one record after the other."""
        text = (trigger.condition_domain or "").strip()
        return bool(text and trigger._names_in(text) & PER_RECORD_NAMES)

    def _condition(self, trigger):
        """Give the condition of a trigger as a domain to search with, none where `_filter` has to tell."""
        if self._is_per_record(trigger):
            return []
        return trigger._eval_domain(trigger.condition_domain, trigger._domain_values())

    # === CRON ===#

    def _begin_by_hand(self, trigger_id, now):
        trigger = self._lock(trigger_id)
        if not trigger or trigger.run_slot:
            return None
        self._write(trigger, run_slot=now, run_position=0)
        return trigger.execution_count

    def _end_by_hand(self, trigger_id, more):
        if more:
            self.env["sicantik.notification.queue"]._wake_cron()
        trigger = self.env[TRIGGERS].browse(trigger_id)
        return trigger.execution_count, trigger.is_failing and trigger.last_error or None

    def _step_of_run(self, trigger_id, now, _place):
        """Fire a `cron` trigger for the next chunk of records.

        :return: None when the run has ended, or another server is at it
        """
        trigger = self._lock(trigger_id)
        slot, position, next_run = trigger.run_slot, trigger.run_position, trigger.next_run
        if not trigger or not slot and not (next_run and next_run <= now):
            return None
        if not slot:
            slot, position = next_run, 0
            if not trigger.first_run:  # counted from the last slot, the 31st would become the 28th for ever
                self._write(trigger, first_run=slot)
            next_run = trigger._slot_after(now)
        more = False
        with trigger._fence(f"trigger {trigger.code}") as failure:
            domain = self._condition(trigger)
            records = self.env[trigger.model_name].search(
                [("id", ">", position), *domain], order="id", limit=CHUNK
            )
            if records:
                event = Event(f"cron:{slot}")
                self._fire(trigger, records, dict.fromkeys(records.ids, event))
                position = records.ids[-1]
            more = len(records) == CHUNK
        self._write(
            trigger,
            next_run=next_run,
            run_slot=slot if more else None,
            run_position=position if more else None,
        )
        if failure.error:
            self._note_failure(trigger, failure.error)
        elif not more:
            self._note_success(trigger)
        return position if more else None

    # === RELATIVE TO A DATE ===#

    @api.model
    def _catch_up(self):
        """Give how long after its moment something still fires that was missed.

        :rtype: timedelta
        """
        value = (self.env["ir.config_parameter"].sudo().get_param(CATCH_UP) or "").strip()
        hours = int(value) if value.isdecimal() else DEFAULT_CATCH_UP
        return timedelta(hours=min(max(hours, 1), LONGEST_CATCH_UP))

    def _reach(self, trigger, offset):
        """Give how long before and after its moment something fires.

        :return: (before, after)
        :rtype: tuple[timedelta, timedelta]
        """
        if trigger.date_field_id.ttype == "datetime" and abs(offset) < offsets.DAY:
            tolerance = timedelta(minutes=trigger.tolerance_minutes)
            return tolerance, max(tolerance, LEAST_LATE)
        return timedelta(0), self._catch_up()

    def _step_of_moments(self, trigger_id, now, place):
        """Fire an `on_time` trigger for the next chunk of records.

        :param tuple place: (index of the offset, id of the last record); None to begin
        :return: the next place; None when nothing is left, or another server is at it
        """
        trigger = self._lock(trigger_id)
        if not trigger or trigger.trigger_type != "on_time":
            return None
        following = None
        with trigger._fence(f"trigger {trigger.code}") as failure:
            minutes = offsets.parse(trigger.time_offsets)
            following = self._fire_offsets(trigger, minutes, now, *(place or (0, 0)))
            if following is None:
                self._note_dropped(trigger, minutes, now)
                self._note_success(trigger)
                self._write(trigger, looked_date=now)
        if failure.error:
            self._note_failure(trigger, failure.error)
            return None
        return following

    def _fire_offsets(self, trigger, minutes, now, index, position):
        """Fire the first chunk that there is, of one offset after the other.

        :param tuple minutes: all offsets of the trigger
        :param int index: of the offset to begin with
        :param int position: id of the last record of that offset that has been looked at
        :return: where to go on; None when nothing was found up to the last offset
        :rtype: tuple
        """
        zones = self._zones(trigger)
        for at in range(index, len(minutes)):
            early, late = self._reach(trigger, minutes[at])
            span = self._span(trigger, zones, minutes[at], now, now - late, now + early)
            last = self._fire_moments(trigger, minutes[at], span, position if at == index else 0)
            if last:
                return at, last
        return None

    def _fire_moments(self, trigger, offset, span, position):
        """Fire for records whose moment has come, those left out that have fired before.

        :param list span: domain
        :param int position: id after which the chunk begins
        :return: id of the last record; None when there was none
        """
        values = dict(self._candidates(trigger, offset, [("id", ">", position), *span], CHUNK))
        if not values:
            return None
        events = {id_: Event(f"t:{offset}:{value}") for id_, value in values.items()}
        records = self.env[trigger.model_name].browse(values)
        if self._is_per_record(trigger):
            records = trigger._filter(trigger.condition_domain, records, events)
        fresh = self.env["sicantik.notification.moment"]._remember(
            trigger, offset, {id_: values[id_] for id_ in records.ids}
        )
        if fresh:
            records = records.browse(id_ for id_ in records.ids if id_ in fresh)
            self._fire(trigger, records, {id_: events[id_] for id_ in records.ids})
        return max(values)

    def _candidates(self, trigger, offset, domain, limit=None):
        """Find records that meet the condition of a trigger and have not fired for their date.

        :return: [(id, value of the date)], by their ids
        :rtype: list
        """
        query = self._query(trigger, offset, [*domain, *self._condition(trigger)], limit)
        column = SQL.identifier(query.table, trigger.date_field_id.name)
        self.env.cr.execute(query.select(SQL.identifier(query.table, "id"), column))
        return self.env.cr.fetchall()

    def _query(self, trigger, offset, domain, limit=None):
        model = self.env[trigger.model_name]
        query = model._search(domain, order="id" if limit else None, limit=limit)
        query.add_where(
            self.env["sicantik.notification.moment"]._not_fired(
                trigger, offset, query.table, trigger.date_field_id.name
            )
        )
        return query

    def _span(self, trigger, zones, offset, now, after, until):
        """Give the domain of the records whose moment lies between two times.

        A time of day is as exact as it says. A date begins at midnight, in the time zone of the record's
        company. What was due before the trigger was activated is left out: by the tolerance, or before the
        day on which it was.

        :param dict zones: from `_zones`
        :param int offset: minutes
        :param datetime after: UTC
        :param datetime until: UTC
        :rtype: list
        """
        name, shift = trigger.date_field_id.name, timedelta(minutes=offset)
        armed = min(trigger.armed_date or now, now)
        if trigger.date_field_id.ttype == "datetime":
            after = max(after, armed - timedelta(minutes=trigger.tolerance_minutes))
            return [(name, ">=", after - shift), (name, "<=", until - shift)]
        spans = []
        for zone, companies in zones.items():
            begin = max(after, day_start(armed, zone) - timedelta(seconds=1))
            first, last = ((to_local(at, zone) - shift).date() for at in (begin, until))
            terms = [(name, ">", first), (name, "<=", last), *companies]
            spans.append(["&"] * (len(terms) - 1) + terms)
        return ["|"] * (len(spans) - 1) + [part for span in spans for part in span]

    def _zones(self, trigger):
        """Group the companies by their time zone.

        :return: {time zone: domain of the records of its companies}, one term or none
        :rtype: dict
        """
        main = trigger._company_zone()
        field = self.env[trigger.model_name]._fields.get("company_id")
        if field is None or not field.store or field.comodel_name != "res.company":
            return {main: []}
        zones = {main: [False]}
        for company in self.env["res.company"].with_context(active_test=False).search([]):
            zones.setdefault(company.partner_id.tz or main, []).append(company.id)
        if len(zones) == 1:
            return {main: []}
        return {zone: [("company_id", "in", ids)] for zone, ids in zones.items()}

    def _note_dropped(self, trigger, minutes, now):
        """Say on a trigger what has come due while nobody looked, and is too old now."""
        looked = min(max(filter(None, (trigger.looked_date, trigger.armed_date)), default=now), now)
        count, zones = 0, None
        for offset in minutes:
            early, late = self._reach(trigger, offset)
            if looked + early < now - late:
                zones = zones or self._zones(trigger)
                span = self._span(trigger, zones, offset, now, looked + early, now - late)
                count += len(self._query(trigger, offset, [*span, *self._condition(trigger)]))
        if count:
            text = _(
                "%(count)s records came due between %(since)s and %(now)s UTC, while the scheduled action "
                "did not run, and are too old now. Tell those people by a campaign if it still matters.",
                count=count,
                since=looked,
                now=now,
            )
            self.env["sicantik.notification.execution"]._note(trigger, error=f"{now} UTC: {text}")

    # === THE NEXT LOOK ===#

    def _wake(self, now, more):
        """Wake the scheduled action for what is left, or when something comes due before it runs by itself.

        :param bool more: whether something is left to do
        """
        queue = self.env["sicantik.notification.queue"]
        if more:
            queue._wake_cron()
        triggers = self.env[TRIGGERS].search([("trigger_type", "in", ("cron", "on_time"))])
        due = [run for run in triggers.mapped("next_run") if run and run > now]
        due += self._coming_moments(triggers, now)
        if due:
            queue._wake_cron(min(due))

    def _coming_moments(self, triggers, now):
        """Give when moments come. What is counted from a date comes at an hour; of a time of day only what
        comes before the scheduled action runs by itself is looked for, with one query for each offset.
        """
        cron = self.env.ref(CRON, raise_if_not_found=False)
        interval = relativedelta(**{cron.interval_type: cron.interval_number}) if cron else relativedelta()
        horizon = now + interval
        found = []
        for trigger in triggers:
            if trigger.trigger_type != "on_time" or trigger.is_failing or not trigger._active_rules():
                continue
            with trigger._fence(f"trigger {trigger.code}"):
                zones = self._zones(trigger)
                for offset in offsets.parse(trigger.time_offsets):
                    found += self._coming(trigger, zones, offset, now, horizon)
        return found

    def _coming(self, trigger, zones, offset, now, horizon):
        if trigger.date_field_id.ttype == "date":
            return [coming(offset % offsets.DAY, zone, now) for zone in zones]
        if horizon <= now + timedelta(minutes=1):  # as soon as it could be woken
            return []
        early, _late = self._reach(trigger, offset)
        name = trigger.date_field_id.name
        span = self._span(trigger, zones, offset, now, now + early, horizon + early)
        record = self.env[trigger.model_name].search([*span, *self._condition(trigger)], order=name, limit=1)
        return [record[name] + timedelta(minutes=offset) - early] if record else []
