import logging
import time
from datetime import timedelta

from odoo import _, api, fields, models

from .budget import Budget
from .sicantik_notification_evaluation import Event, Failure
from .transaction import Transactions, committed

_logger = logging.getLogger(__name__)

# Targets that one step turns into queue rows: each step ends with a commit of its own.
CHUNK = 1000
# Messages that one transaction of a pause, a resumption or a cancellation moves.
ROWS_CHUNK = 10_000
# Seconds for which one campaign is expanded before the next one has its turn.
SLICE = 5
# Seconds after which a campaign is looked at again that another process expands.
LOOK_AGAIN = 10
# The first half of the advisory locks of expansions; any number that nobody else uses.
LOCK_SPACE = 727_102


class Busy(Exception):
    """Somebody else expands this campaign."""


class Expansion(Transactions):
    """Short transactions in which one campaign is expanded, by one process at a time: it holds a lock that
    PostgreSQL releases when the process ends, whatever ends it.

    :param int campaign_id: which campaign
    """

    def __init__(self, env, campaign_id):
        super().__init__(env)
        self.campaign_id = campaign_id
        self.after = 0
        self.position = None

    def __enter__(self):
        if self._shared:
            self._enter(self._shared.cr)
        return self

    def _enter(self, cr):
        cr.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_SPACE, self.campaign_id])
        if not cr.fetchone()[0]:
            raise Busy

    def _leave(self, cr):
        cr.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK_SPACE, self.campaign_id])

    def step(self):
        """Queue the messages of the next targets.

        :return: whether there are more
        :rtype: bool
        """
        more, after, position = self.run(
            lambda env: env["sicantik.notification.expansion"]._step(
                self.campaign_id, self.after, self.position
            )
        )
        self.after, self.position = after, position
        return more


class SicantikNotificationExpansion(models.AbstractModel):
    """From a campaign's targets to queue rows, chunk by chunk, and the rest of what campaigns leave to the
    scheduled action.

    Targets are taken and their messages queued in one transaction: whatever kills the process, each target
    is either still there or has its rows. A chunk shares a lock on the campaign: a pause or a cancellation
    waits for its end and stops the next one. Messages are claimed while the expansion goes on.
    """

    _name = "sicantik.notification.expansion"
    _description = "Notification Campaign Expansion"

    # === THE SCHEDULED ACTION ===#

    @api.model
    def _run(self):
        """Start, expand, hold, release, cancel and complete, until nothing is left or the budget is spent.

        :return: how many campaigns were worked on
        :rtype: int
        """
        # The scheduled action has no language; the reasons that it writes are read in the office.
        self = self.with_context(lang=self.env.company.partner_id.lang or self.env.lang)
        budget = Budget(scheduled="lastcall" in self.env.context)  # set by the scheduler
        with Transactions(self.env) as transactions:
            worked = self._start_due(transactions)
            moved, left, waiting = self._work_on_rows(transactions, budget)
            expanded, more = self._expand_all(transactions, budget)
            ended = transactions.run(lambda env: env["sicantik.notification.campaign"]._complete_ended().ids)
            if left or more:
                transactions.run(lambda env: env["sicantik.notification.campaign"]._wake_campaign_cron())
            elif waiting:  # for what workers have in their hands
                later = fields.Datetime.now() + timedelta(seconds=LOOK_AGAIN)
                transactions.run(lambda env: env["sicantik.notification.campaign"]._wake_campaign_cron(later))
        self.env["sicantik.notification.campaign"].invalidate_model()
        return len({*worked, *moved, *expanded, *ended})

    @api.model
    def _find(self, *domain):
        return self.env["sicantik.notification.campaign"].search(list(domain), order="id").ids

    @api.model
    def _start_due(self, transactions):
        due = transactions.run(
            lambda env: env[self._name]._find(
                ("state", "=", "scheduled"), ("scheduled_date", "<=", fields.Datetime.now())
            )
        )
        for id_ in due:
            transactions.run(lambda env, id_=id_: env[self._name]._start(id_))
        return due

    def _start(self, campaign_id):
        campaign = self.env["sicantik.notification.campaign"].browse(campaign_id)
        campaign._lock()
        if campaign.state != "scheduled":
            return
        with campaign._fence(f"campaign {campaign.id}") as failure:
            campaign._transition("start")
            # Its domain means what it means to its owner: `uid`, `company_ids`.
            self._begin(campaign.with_user(campaign.user_id or self.env.user).sudo())
        if failure.error:
            self._halt(campaign, failure.error)

    @api.model
    def _work_on_rows(self, transactions, budget):
        """Do what transitions have asked of messages.

        :return: ids of the campaigns that were worked on, whether the budget is spent, whether something is
            still to be done to some of them
        :rtype: tuple
        """
        transactions.run(lambda env: env["sicantik.notification.campaign.message"]._find_forgotten())
        todo = transactions.run(lambda env: env[self._name]._find(("rows_todo", "!=", False)))
        for id_ in todo:
            while not budget.is_over() and transactions.run(
                lambda env, id_=id_: env[self._name]._rows_step(id_)
            ):
                pass
        waiting = transactions.run(lambda env: env[self._name]._find(("rows_todo", "!=", False)))
        return todo, budget.is_over(), bool(waiting)

    def _rows_step(self, campaign_id):
        """Move the next messages of a campaign; tell whether there are more at once."""
        campaign = self._shared(campaign_id)
        messages = self.env["sicantik.notification.campaign.message"]
        if messages._step(campaign, ROWS_CHUNK) == ROWS_CHUNK:
            return True
        if campaign.rows_todo and messages._is_done(campaign):
            campaign.write({"rows_todo": False})
        return False

    @api.model
    def _expand_all(self, transactions, budget):
        """Expand what is running, in turns.

        :return: ids of the campaigns that were expanded, whether there is more to do
        :rtype: tuple
        """
        waiting = transactions.run(
            lambda env: env[self._name]._find(("state", "=", "running"), ("expanded", "=", False))
        )
        found = list(waiting)
        while waiting and not budget.is_over():
            waiting = [id_ for id_ in waiting if not budget.is_over() and self._expand_slice(id_, budget)]
        return found, bool(waiting)

    def _expand_slice(self, campaign_id, budget):
        """Expand one campaign for a while; tell whether there is more to do."""
        until = time.monotonic() + SLICE
        try:
            with Expansion(self.env, campaign_id) as expansion:
                while expansion.step():
                    if time.monotonic() > until or budget.is_over():
                        return True
        except Busy:
            # Or its process was killed, and the database has not noticed yet.
            _logger.info("Campaign %s is being expanded by another process", campaign_id)
            later = fields.Datetime.now() + timedelta(seconds=LOOK_AGAIN)
            committed(self.env, lambda env: env["sicantik.notification.campaign"]._wake_campaign_cron(later))
        return False

    # === STEPS ===#

    def _shared(self, campaign_id):
        """Give a campaign whose state does not change before this transaction ends.

        The lock is shared and no row is written: so a button that waits for it goes on as soon as the chunk
        is done, and does not find its row changed.
        """
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT id FROM sicantik_notification_campaign WHERE id = %s FOR SHARE", [campaign_id]
        )
        campaign = self.env["sicantik.notification.campaign"].browse(
            [id_ for (id_,) in self.env.cr.fetchall()]
        )
        campaign.invalidate_recordset(flush=False)
        return campaign

    def _begin(self, campaign):
        """Freeze the audience of a campaign that has come to run.

        :param campaign: one campaign, locked, in superuser mode, as the user whom its domain is about
        """
        targets, domain = self._audience(campaign)
        self.env["sicantik.notification.campaign.target"]._forget(campaign)
        self.env["sicantik.notification.campaign.target"]._freeze(campaign, targets, domain)
        self.env["sicantik.notification.queue"].flush_model()
        self.env.cr.execute(
            "SELECT COALESCE(max(id), 0) FROM sicantik_notification_queue WHERE campaign_id = %s",
            [campaign.id],
        )
        now = fields.Datetime.now()
        campaign.write(
            {
                "start_date": now,
                "pace_date": now,
                "end_date": False,
                "expanded": False,
                "last_row_id": self.env.cr.fetchone()[0],
                "rows_todo": False,
                "held_seconds": 0,
            }
        )
        campaign._forget_failures()

    @api.model
    def _audience(self, campaign):
        """Say who the targets of a campaign are: those of its company whom its domain finds.

        :return: the model, in superuser mode, and a domain on it
        :rtype: tuple
        """
        campaign = campaign.with_company(campaign.company_id)
        targets = campaign.env[campaign.target_model].sudo().with_context(active_test=True)
        domain = campaign._eval_domain(campaign.target_domain, campaign._domain_values())
        if "company_id" in targets._fields:
            domain = [("company_id", "in", (campaign.company_id.id, False)), *domain]
        return targets, domain

    def _first_chunk(self, campaign):
        """Queue the first targets in the transaction of the button that starts the campaign."""
        more, _after, _position = self._step(campaign.id, 0, None)
        return more

    def _step(self, campaign_id, after, position):
        """Queue the messages of the next targets; pause the campaign when that fails as a whole.

        :param int after: id of the last target that was taken before
        :param int position: how many messages went before, of which the batches are made too; None when that
            is not known yet
        :return: whether there are more, and `after` and `position` for the next step
        :rtype: tuple
        """
        campaign = self._shared(campaign_id)
        if campaign.state != "running" or campaign.expanded:
            return False, after, position
        if not campaign.start_date:  # its state was written by hand, or by an older version
            campaign._lock()
            self._begin(campaign)
        with campaign._fence(f"campaign {campaign.id}") as failure:
            return self._queue_chunk(campaign.with_company(campaign.company_id), after, position)
        self._halt(campaign, failure.error)
        return False, after, position

    def _halt(self, campaign, error):
        campaign._halt(
            _(
                "Its messages could not be queued: %s\nCorrect the rule or the campaign, then resume it.",
                error,
            )
        )

    def _queue_chunk(self, campaign, after, position):
        rule = campaign.rule_id.sudo()
        if position is None:
            position = self._position(campaign)
        ids = self.env["sicantik.notification.campaign.target"]._take(campaign, after, CHUNK)
        # Who is gone meanwhile is written to no more; else nobody drops out of a frozen audience.
        targets = campaign.env[campaign.target_model].sudo().browse(ids).exists()
        if targets:
            # The second belt: the same record and recipient once per run, whatever becomes of the targets.
            event = Event(f"c{campaign.id}.{campaign.last_row_id}")
            trouble = Failure()
            rows = rule._prepare_rows(
                targets,
                dict.fromkeys(targets.ids, event),
                trouble,
                campaign.template_key,
                position,
                campaign.pace_date,
            )
            if campaign.last_row_id:
                reached = self.env["sicantik.notification.campaign.message"]._reached(campaign, targets.ids)
                rows = [row for row in rows if not self._is_reached(row, reached)]
            for row in rows:
                row["campaign_id"] = campaign.id
            self.env["sicantik.notification.queue"]._enqueue(rows)
            position += sum(row["state"] == "pending" for row in rows)
            if trouble.error:
                self.env["sicantik.notification.execution"]._note(rule.trigger_id, None, rule, trouble.error)
        more = len(ids) == CHUNK
        if not more:
            campaign.write({"expanded": True})
        return more, ids[-1] if ids else after, position

    @api.model
    def _is_reached(self, row, reached):
        about = (row["res_id"], row["message_type"], row["channel"])
        return any((*about, row.get(name)) in reached for name in ("partner_id", "phone", "email"))

    def _position(self, campaign):
        """Count the messages that went before in this run; for a rule that sends in batches.

        When the next batch should have left already, because nobody expanded the campaign for a while, the
        batches go on from now: those that are late do not leave all at once.
        """
        rule = campaign.rule_id
        if rule.schedule_type != "batch":
            return 0
        self.env.cr.execute(
            """
            SELECT count(*) FROM sicantik_notification_queue
             WHERE campaign_id = %s AND id > %s AND state <> 'skipped'
            """,
            [campaign.id, campaign.last_row_id],
        )
        (position,) = self.env.cr.fetchone()
        pace = rule._batch_delay(position)
        now = fields.Datetime.now()
        if position and campaign.pace_date + pace < now:
            campaign.write({"pace_date": now - pace})
        return position
