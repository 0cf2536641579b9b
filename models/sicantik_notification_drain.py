import json
import logging
from dataclasses import replace
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from ..providers import errors, longest_attempt
from .budget import LONGEST_RUN
from .limits import precise_now
from .res_partner import SERVICE_WINDOW
from .road import EMAIL, NO_POLICY, Job, Refusal, Row, Wait
from .run import IN_FLIGHT, MOST_IN_FLIGHT, Run
from .sicantik_notification_worker import ALONE_FROM, Worker
from .sicantik_whatsapp_dispatcher import Request
from .transaction import committed

_logger = logging.getLogger(__name__)

# Numbers that nobody has entered are NULL in the database.
COUNTERS = {
    name: f"COALESCE({name}, 0)" for name in ("priority", "retry_count", "max_retries", "attempt_count")
}

# The condition of the claim's index. Messages of paused campaigns are held, as soon as somebody comes to it.
IN_FLIGHT_PARAMETER = "sicantik_notification_automation.requests_in_flight"
CLAIMABLE = "state = 'pending' AND held IS NOT TRUE"
# Messages of these campaigns stay where they are.
RUNNING = """(campaign_id IS NULL OR campaign_id NOT IN (
    SELECT id FROM sicantik_notification_campaign WHERE state IN ('paused', 'cancelled')))"""
# The priorities that pending rows have, largest first. Their index is by priority, then date: each level is
# looked at by itself, so that rows of a higher one that are not due yet need not be passed over.
FIRST_PENDING = f"""level AS (
    (SELECT priority FROM sicantik_notification_queue
      WHERE {CLAIMABLE} ORDER BY priority DESC LIMIT 1)"""
FIRST_GIVEN = "level AS (SELECT %(priority)s AS priority"
LOWER_LEVELS = f"""
    UNION ALL
    SELECT (SELECT priority FROM sicantik_notification_queue
             WHERE {CLAIMABLE} AND priority < level.priority ORDER BY priority DESC LIMIT 1)
      FROM level WHERE level.priority IS NOT NULL
)"""
# Of the level of a given row, what comes after it. One comparison, which the index can begin with.
AFTER = """AND (scheduled_date, id) > (
    CASE WHEN level.priority = %(priority)s THEN %(date)s::timestamp ELSE '-infinity' END,
    CASE WHEN level.priority = %(priority)s THEN %(id)s ELSE 0 END)"""


class SicantikNotificationDrain(models.AbstractModel):
    """From queue row to log row: claim → plan → deliver → settle.

    * **claim**: due rows become `processing` under the number of this worker.
    * **plan**: who sends what, by which ways; what each way's limits allow is taken. What cannot be sent is
      settled, what has no room is moved to when there is. The provider is written into the row: from here on
      the request may have left.
    * **deliver**: HTTP, in threads, with no transaction open. A refusal that concerns the account brings the
      message back here, to be planned on with the next way. An e-mail is written into Odoo's own mail queue
      instead, in the transaction that settles it (`sicantik.notification.mail`).
    * **settle**: states and log rows, where the claim is still ours.

    What each step does is here and in `sicantik.notification.settlement`; in what order, and how requests are
    kept in flight meanwhile, is in `run.py`. Several workers, on several hosts, may drain at once.
    """

    _name = "sicantik.notification.drain"
    _description = "Notification Drain"

    # === ENTRY POINTS ===#

    @api.model
    def _run(self):
        """Send what is due until nothing is or the budget is spent; then wake the cron for what remains.

        :return: {"processed", "sent", "failed", "skipped"}
        :rtype: dict
        """
        # The scheduled action has no language; the reasons that it writes are read in the office.
        self = self.with_context(lang=self.env.company.partner_id.lang or self.env.lang)
        with Worker(self.env) as worker:
            worker.run(lambda env: env["sicantik.notification.worker"]._rescue())
            # `lastcall` is set by the scheduler.
            run = Run(worker, scheduled="lastcall" in self.env.context, in_flight=self._in_flight())
            run.drain()
            while not run.is_over() and run.drain_alone():
                _logger.info("Notification queue: a message that workers died of was taken alone")
            run.listen()
            worker.run(lambda env: env["sicantik.notification.campaign"]._complete_ended().ids)
            worker.run(lambda env: env["sicantik.auto.message"]._finish())
            worker.run(lambda env: env[self._name]._wake_for_the_rest(run.told_more))
        return self._summary(run.totals)

    @api.model
    def _process(self, ids, again=True, seconds=LONGEST_RUN):
        """Send rows now, whatever their schedule; limits hold.

        :param list ids: ids of queue rows; what is not pending is left alone
        :param bool again: whether rows that are not committed yet are sent after the commit
        :param float seconds: begin nothing new after so many seconds
        :return: as `_run`
        """
        with Worker(self.env) as worker:
            run = Run(worker, ids=list(ids), seconds=seconds, in_flight=self._in_flight())
            run.drain()
            while run.ids and not run.is_over() and run.drain_alone():
                _logger.info("Notification queue: a message that workers died of was taken alone")
            worker.run(lambda env: env["sicantik.auto.message"]._finish())
        if again:
            visible = committed(
                self.env, lambda env: set(env["sicantik.notification.queue"].browse(ids).exists().ids)
            )
            later = [id_ for id_ in ids if id_ not in visible]
            if later:
                self.env.cr.postcommit.add(lambda: self._process(later, again=False))
        return self._summary(run.totals)

    @api.model
    def _summary(self, totals):
        result = {name: totals[name] for name in ("sent", "failed", "skipped")}
        result["processed"] = sum(totals.values())
        if totals:
            _logger.info(
                "Notification queue: %s", ", ".join(f"{count} {state}" for state, count in totals.items())
            )
        return result

    # === CLAIM ===#

    @api.model
    def _in_flight(self):
        """Give how many requests a drain keeps in flight, as the settings say."""
        value = self.env["ir.config_parameter"].sudo().get_param(IN_FLIGHT_PARAMETER, "")
        return max(1, min(int(value), MOST_IN_FLIGHT)) if value.isdecimal() else IN_FLIGHT

    @api.model
    def _claim(self, worker, limit, ids=None, alone=False, after=None):
        """Mark rows as ours: priority first, then the oldest.

        :param int worker: number of the worker
        :param int limit: how many rows at most
        :param list ids: take these rows, whatever their schedule; None for what is due
        :param bool alone: take those whose workers have died again and again, and no others
        :param Row after: only what comes after this row. While somebody keeps an old snapshot, the index
            keeps every row that was ever due, and to look from the beginning takes longer each time.
        :return: the rows, in that order
        :rtype: list[Row]
        """
        columns = ", ".join(COUNTERS.get(name, name) for name in Row._fields)
        returned = ", ".join(f"q.{name}" for name in Row._fields)
        which = "id = ANY(%(ids)s)" if ids is not None else "scheduled_date <= %(now)s"
        # MATERIALIZED: the planner must not evaluate the locking select more than once.
        self.env.cr.execute(
            f"""
            WITH RECURSIVE {FIRST_GIVEN if after else FIRST_PENDING}{LOWER_LEVELS}, due AS MATERIALIZED (
                SELECT one.id
                  FROM level, LATERAL (
                    SELECT id
                      FROM sicantik_notification_queue
                     WHERE {CLAIMABLE} AND priority = level.priority
                       AND {which}
                       {AFTER if after else ""}
                       AND COALESCE(interrupted_count, 0) {">=" if alone else "<"} %(deaths)s
                       AND {RUNNING}
                  ORDER BY scheduled_date, id
                     LIMIT %(limit)s
                       FOR UPDATE SKIP LOCKED
                  ) AS one
                 LIMIT %(limit)s
            ), claimed AS (
                UPDATE sicantik_notification_queue AS q
                   SET state = 'processing',
                       worker = %(worker)s,
                       lease_until = NULL,
                       provider_id = NULL,
                       provider_type = NULL
                  FROM due
                 WHERE q.id = due.id
             RETURNING {returned}
            )
            SELECT {columns} FROM claimed ORDER BY priority DESC, scheduled_date, id
            """,
            {
                "ids": ids,
                "limit": limit,
                "worker": worker,
                "deaths": ALONE_FROM,
                "now": precise_now(),
                "priority": after and after.priority,
                "date": after and after.scheduled_date,
                "id": after and after.id,
            },
        )
        rows = [Row(*values) for values in self.env.cr.fetchall()]
        if rows:
            self.env["sicantik.notification.queue"].invalidate_model()
        return rows

    @api.model
    def _release(self, worker, ids, wait=0):
        """Give claimed rows back of which certainly nothing has left.

        :param int wait: seconds after which they are due again
        """
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue
               SET state = 'pending',
                   worker = NULL, lease_until = NULL, provider_id = NULL, provider_type = NULL,
                   scheduled_date = GREATEST(scheduled_date, %s)
             WHERE id = ANY(%s) AND state = 'processing' AND worker = %s
            """,
            [fields.Datetime.now() + timedelta(seconds=wait) if wait else None, ids, worker],
        )
        self.env["sicantik.notification.queue"].invalidate_model()

    # === PLAN ===#

    @api.model
    def _facts(self, rows):
        """Read what many messages have in common: providers, templates, rules.

        :param list[Row] rows: the messages
        :return: Directory, {rule id: Rule}
        :rtype: tuple
        """
        rules = self.env["sicantik.notification.rule"].browse({row.rule_id for row in rows if row.rule_id})
        directory = self.env["sicantik.whatsapp.dispatcher"]._directory(
            {row.template_key for row in rows if row.template_key}
        )
        ids = {row.company_id for row in rows}
        companies = self.env["res.company"].browse(id_ for id_ in ids if id_).exists()
        policies = {**dict.fromkeys(ids, NO_POLICY), **companies._sending_policies()}
        return replace(directory, policies=policies), {rule.id: rule._facts() for rule in rules.exists()}

    @api.model
    def _prepare(self, rows, directory, rules):
        """Find the ways of claimed rows.

        :param list[Row] rows: the rows
        :param Directory directory: providers, texts and policies
        :param dict rules: {rule id: Rule}
        :return: one job per row, with its ways, or with a Refusal or Wait as its verdict; an e-mail has no
            ways
        :rtype: list[Job]
        """
        consents = self._consents({row.partner_id for row in rows if row.partner_id})
        blocked = self.env["sicantik.notification.blacklist"]._blocked(
            [row.phone for row in rows if row.phone]
        )
        waits = self.env["sicantik.notification.quiet"]._waits(rows, rules, directory.policies)
        unwanted = self.env["sicantik.notification.mail"]._blocked(row.email for row in rows if row.email)
        stopped = self.env["sicantik.auto.message"]._stopped({row.auto_message_id for row in rows} - {None})
        jobs, requests = [], []
        for row in rows:
            opted_in, window_open = consents.get(row.partner_id, (False, False))
            job = Job(row, window_open=window_open)
            jobs.append(job)
            if row.channel == EMAIL:
                job.verdict = self.env["sicantik.notification.mail"]._refusal(row, unwanted)
                continue
            job.verdict = (
                stopped.get(row.auto_message_id)
                or self._refusal(row, rules.get(row.rule_id), blocked.get(row.phone), opted_in)
                or waits.get(row.id)
            )
            if not job.verdict:
                try:
                    requests.append(self._request(row, opted_in, window_open))
                except ValidationError as error:
                    job.verdict = Refusal(errors.UNKNOWN, str(error))
        plans = self.env["sicantik.whatsapp.dispatcher"]._plan(requests, directory)
        self._keep_late_reasons(jobs, plans)
        for job in jobs:
            plan = plans.get(job.row.id)
            if isinstance(plan, Refusal):
                job.verdict = plan
            elif plan:
                job.routes = plan
        self.env["sicantik.notification.cap"]._ask(jobs, rules, directory.policies)
        return jobs

    def _keep_late_reasons(self, jobs, plans):
        """Have messages that were refused late, and that nobody else can take, end for that first reason."""
        late = [job.row.id for job in jobs if job.row.late_provider_id]
        stuck = [
            id_
            for id_ in late
            if isinstance(plans.get(id_), Refusal) and plans[id_].error_class == "no_provider"
        ]
        if not stuck:
            return
        # From the log: the row may have waited since, and says what for.
        self.env.cr.execute(
            """
            SELECT DISTINCT ON (queue_id) queue_id, error_class, error_message
              FROM sicantik_notification_log
             WHERE queue_id = ANY(%s) AND delivery_state = 'failed'
          ORDER BY queue_id, id DESC
            """,
            [stuck],
        )
        for id_, error_class, error_message in self.env.cr.fetchall():
            reason = _("%s No other provider can take this message.", error_message or "")
            plans[id_] = Refusal(error_class, reason)

    def _consents(self, partner_ids):
        """Read who agreed, and who has written within 24 hours: {partner id: (opted in, window open)}."""
        since = fields.Datetime.now() - SERVICE_WINDOW
        partners = self.env["res.partner"].with_context(active_test=False)
        found = partners.search_fetch(
            [("id", "in", list(partner_ids))], ["whatsapp_opt_in", "whatsapp_last_inbound"]
        )
        consents = {}
        for partner in found:
            last = partner.whatsapp_last_inbound
            consents[partner.id] = (partner.whatsapp_opt_in, bool(last and last > since))
        return consents

    def _refusal(self, row, rule, blocked, opted_in):
        """Check again what may have changed since the row was queued: blacklist and consent."""
        if blocked:
            source, reason = blocked
            if not rule or rule.respect_blacklist or source == "opt_out":
                return Refusal("blacklisted", _("The number is on the blacklist: %s", reason or source))
        if rule and rule.require_opt_in and not opted_in:
            return Refusal("no_opt_in", _("The recipient has withdrawn the consent to WhatsApp messages."))
        return None

    def _request(self, row, opted_in, window_open):
        return Request(
            key=row.id,
            phone=row.phone or "",
            opted_in=opted_in,
            window_open=window_open,
            company_id=row.company_id,
            message_type=row.message_type,
            template_key=row.template_key or "",
            body=row.body or "",
            context=self.env["sicantik.notification.queue"]._read_context(row.context_values),
            reference=f"{self.env.cr.dbname}:{row.id}",
            without=row.late_provider_id,
        )

    @api.model
    def _admit(self, worker, jobs, senders, rules):
        """Take the allowances of jobs and mark the rows of those that go by whom they are sent; e-mails go
        into Odoo's mail queue here.

        :return: [(job, moment at which it may leave)] of those that go, jobs that do not
        :rtype: tuple
        """
        places = self.env["sicantik.notification.allowance"]._admit(jobs, senders, rules)
        go, stay, mails = [], [], []
        for job, place in zip(jobs, places, strict=True):
            if isinstance(place, float):
                if job.row.channel == EMAIL:
                    mails.append(job)
                else:
                    go.append((job, place))
                continue
            stay.append(job)
            if isinstance(place, Wait | Refusal):
                job.verdict = place
            elif not job.attempts:
                job.verdict = Refusal("no_provider", _("Its provider has just been switched off."))
        stay += self.env["sicantik.notification.mail"]._hand_over(worker, mails, rules)
        marked = self._mark(worker, [job for job, _place in go])
        return [(job, place) for job, place in go if job.row.id in marked], stay

    def _mark(self, worker, jobs):
        """Write by whom each row is about to be sent: from here on its request may have left.

        :return: ids of the rows that are still ours
        :rtype: set
        """
        if not jobs:
            return set()
        now = fields.Datetime.now()
        marks = [
            {
                "id": job.row.id,
                "provider_id": job.routes[0].provider_id,
                "provider_type": job.routes[0].account.provider_type,
                # By then an answer has come or never will; twice the time, since requests wait for a thread.
                "lease_until": now + timedelta(seconds=2 * longest_attempt(job.routes[0].account)),
                "counted_on": job.counted_on,
            }
            for job in jobs
        ]
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_queue AS q
               SET provider_id = mark.provider_id,
                   provider_type = mark.provider_type,
                   lease_until = mark.lease_until,
                   counted_on = COALESCE(mark.counted_on, q.counted_on)
              FROM jsonb_to_recordset(%s::jsonb) AS mark (
                       id integer, provider_id integer, provider_type text, lease_until timestamp,
                       counted_on date)
             WHERE q.id = mark.id AND q.state = 'processing' AND q.worker = %s
         RETURNING q.id
            """,
            [json.dumps(marks, default=str), worker],
        )
        return {id_ for (id_,) in self.env.cr.fetchall()}

    # === THE NEXT RUN ===#

    @api.model
    def _next_due(self, within=None):
        """Give when the next pending row is due, also in the past; None when there is none.

        :param float within: look only at what is due already, and at what has its turn in so many seconds
        """
        now = precise_now()
        self.env.cr.execute(
            f"""
            WITH RECURSIVE {FIRST_PENDING}{LOWER_LEVELS}
            SELECT min(first.scheduled_date)
              FROM level, LATERAL (
                SELECT scheduled_date
                  FROM sicantik_notification_queue
                 WHERE {CLAIMABLE} AND priority = level.priority
                   AND scheduled_date <= %(until)s
                   AND (%(any)s OR scheduled_date <= %(now)s OR error_class = 'limited')
                   AND COALESCE(interrupted_count, 0) < %(deaths)s
                   AND {RUNNING}
              ORDER BY scheduled_date, id
                 LIMIT 1
              ) AS first
            """,
            {
                "deaths": ALONE_FROM,
                "now": now,
                "any": within is None,
                "until": "infinity" if within is None else now + timedelta(seconds=within),
            },
        )
        return self.env.cr.fetchone()[0]

    @api.model
    def _wake_for_the_rest(self, told_more=False):
        """Wake the scheduled action when the next row is due: at once, or at its time.

        :param bool told_more: whether providers have told more than this run has applied
        """
        due = self._next_due()
        if told_more:
            due = fields.Datetime.now()
        if due:
            self.env["sicantik.notification.queue"]._wake_cron(due)
