from datetime import timedelta

import psycopg2

from odoo import _, api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError

from ..compat import check_access
from .opening import open_dialog
from .sicantik_notification_evaluation import CONCURRENCY_ERRORS

CRON = "sicantik_notification_automation.ir_cron_campaign_batch"
ENDED = ("sent", "failed", "skipped", "cancelled")
OPEN = ("pending", "processing")
# What may happen to a campaign: the states it may be in, and the one that it comes to.
TRANSITIONS = {
    "schedule": (("draft",), "scheduled"),
    "start": (("draft", "scheduled"), "running"),
    "pause": (("running",), "paused"),
    "halt": (("scheduled", "running"), "paused"),
    "resume": (("paused",), "running"),
    "cancel": (("scheduled", "running", "paused"), "cancelled"),
    "complete": (("running",), "completed"),
    "retry": (("running", "completed"), "running"),
    "relaunch": (("completed", "cancelled"), "running"),
}
# Under way, who is written to what does not change any more.
UNDER_WAY = ("scheduled", "running", "paused")
AUDIENCE = ("rule_id", "target_model", "target_domain", "template_key", "company_id")
# Messages that a button moves itself; the scheduled action, which it wakes, moves the others.
ROWS_AT_ONCE = 1000
# Minutes over which the live rate is measured.
RATE_MINUTES = 5
ACTIVITY = "mail.mail_activity_data_warning"


class SicantikNotificationCampaign(models.Model):
    """One message of a rule to everybody whom a domain finds (seed 2, section 5).

    States::

        draft ──action_start──► scheduled ──cron──► running ──last message ended──► completed
                     └──────────────────────────────►  │ ▲                             │
                       action_pause, too many failures ▼ │ action_resume               │ action_relaunch:
                                                    paused                             │ running again
        scheduled, running, paused ──action_cancel──► cancelled ───────────────────────┘

    `_transition` alone writes `state`. The audience is frozen at the start
    (`sicantik.notification.campaign.target`), becomes queue rows in chunks
    (`sicantik.notification.expansion`), and what a transition asks of many rows is done in chunks too
    (`sicantik.notification.campaign.message`). That a campaign is paused or cancelled holds for the very next
    claim, because the claim asks for the state.
    """

    _name = "sicantik.notification.campaign"
    _description = "Notification Campaign"
    _inherit = ["sicantik.notification.evaluation", "mail.thread", "mail.activity.mixin"]
    _order = "id desc"

    name = fields.Char(string="Campaign Name", required=True)
    description = fields.Text()
    rule_id = fields.Many2one(
        "sicantik.notification.rule",
        required=True,
        index=True,
        # By the database only when the model of the rule is uninstalled; else `_unlink_except_campaigns`
        # refuses it.
        ondelete="cascade",
    )
    user_id = fields.Many2one(
        "res.users",
        string="Owner",
        copy=False,
        default=lambda self: self.env.user,
        index=True,
        help="Is told when the campaign pauses by itself.",
    )
    target_model = fields.Char(required=True, default="sicantik.permit", help="Such as sicantik.permit.")
    target_domain = fields.Char(default="[]", help="Who is written to, such as [('state', '=', 'approved')].")
    template_key = fields.Char(string="Template Key Override", help="Empty: the template of the rule.")
    scheduled_date = fields.Datetime(string="Send At", copy=False, help="Empty: at once.")
    state = fields.Selection(
        [
            ("draft", "Draft"),
            ("scheduled", "Scheduled"),
            ("running", "Running"),
            ("paused", "Paused"),
            ("completed", "Completed"),
            ("cancelled", "Cancelled"),
        ],
        string="Status",
        default="draft",
        required=True,
        copy=False,
        readonly=True,
        tracking=True,
        group_expand=True,
    )
    state_reason = fields.Text(string="Reason", copy=False, readonly=True, help="Why it is paused.")
    company_id = fields.Many2one(
        "res.company", required=True, index=True, default=lambda self: self.env.company
    )

    # Statistics
    total_targets = fields.Integer(
        compute="_compute_totals", help="Messages, and records whose messages are not in the queue yet."
    )
    total_sent = fields.Integer(compute="_compute_totals")
    total_failed = fields.Integer(compute="_compute_totals")
    total_skipped = fields.Integer(compute="_compute_totals")
    total_cancelled = fields.Integer(compute="_compute_totals")
    total_pending = fields.Integer(compute="_compute_totals")
    progress_percentage = fields.Float(string="Progress", compute="_compute_totals")
    total_interrupted = fields.Integer(
        compute="_compute_live", help="Failed ones of which nobody knows whether they left."
    )
    rate_per_minute = fields.Float(
        string="Messages per Minute", compute="_compute_live", help="Over the last five minutes."
    )
    expected_end = fields.Datetime(
        compute="_compute_live", help="When the rest has left, if it goes on at this rate."
    )
    queue_ids = fields.One2many(
        "sicantik.notification.queue", "campaign_id", string="Deliveries", readonly=True
    )
    log_ids = fields.One2many("sicantik.notification.log", "campaign_id", readonly=True)

    # How far it has come
    start_date = fields.Datetime(copy=False, readonly=True, help="When its audience was frozen.")
    end_date = fields.Datetime(copy=False, readonly=True)
    expanded = fields.Boolean(copy=False, readonly=True, help="All targets are in the queue.")
    last_row_id = fields.Integer(
        copy=False, readonly=True, help="Messages up to this one belong to earlier runs."
    )
    paused_date = fields.Datetime(copy=False, readonly=True)
    pace_date = fields.Datetime(
        copy=False, readonly=True, help="From when on batches are counted: pauses move it."
    )
    health_date = fields.Datetime(
        copy=False, readonly=True, help="Failures up to then do not pause it any more."
    )
    rows_todo = fields.Selection(
        [("hold", "Hold"), ("release", "Release"), ("cancel", "Cancel")],
        copy=False,
        readonly=True,
        help="What is still to be done to its messages.",
    )
    held_seconds = fields.Integer(
        copy=False, readonly=True, help="By how much messages that are released leave later."
    )

    # === COMPUTES ===#

    def _compute_totals(self):
        """One grouped read for all campaigns; nothing is counted while messages are sent."""
        counts = self.env["sicantik.notification.tally"]._totals("campaign_id", self.ids)
        for campaign in self:

            def count(*states, of=campaign):
                return sum(counts[of.id, state] for state in states)

            campaign.total_sent = count("sent")
            campaign.total_failed = count("failed")
            campaign.total_skipped = count("skipped")
            campaign.total_cancelled = count("cancelled")
            campaign.total_pending = count(*OPEN, "waiting")
            campaign.total_targets = count(*ENDED) + campaign.total_pending
            campaign.progress_percentage = 100 * count(*ENDED) / (campaign.total_targets or 1)

    def _compute_live(self):
        """How fast it goes, from the rows of the last minutes: one grouped read for all campaigns."""
        now = fields.Datetime.now()
        since = now - timedelta(minutes=RATE_MINUTES)
        found = self.env["sicantik.notification.campaign.message"]._live(self.ids, since)
        for campaign in self:
            sent, campaign.total_interrupted = found.get(campaign.id, (0, 0))
            began = max(campaign.start_date or since, since)
            minutes = max((now - began).total_seconds() / 60, 1)
            running = campaign.state == "running"
            campaign.rate_per_minute = sent / minutes if running else 0.0
            campaign.expected_end = False
            if running and sent and campaign.total_pending:
                left = timedelta(minutes=campaign.total_pending / campaign.rate_per_minute)
                campaign.expected_end = now + min(left, timedelta(days=3650))

    def _domains(self):
        return [*super()._domains(), (self.target_domain, self.target_model, _("The target domain"))]

    @api.constrains("target_model", "target_domain", "rule_id")
    def _check_target(self):
        for campaign in self:
            if campaign.target_model not in self.env:
                raise ValidationError(
                    _(
                        "There is no model “%s”. Write its technical name, such as sicantik.permit.",
                        campaign.target_model,
                    )
                )
            if campaign.target_model != campaign.rule_id.model_name:
                raise ValidationError(
                    _(
                        "The rule “%(rule)s” is for %(model)s, not for %(target)s. Choose another rule or "
                        "model.",
                        rule=campaign.rule_id.name,
                        model=campaign.rule_id.model_name,
                        target=campaign.target_model,
                    )
                )
            campaign._check_domains()

    # === CRUD ===#

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_may_write_state(vals)
        return super().create(vals_list)

    def write(self, vals):
        self._check_may_write_state(vals)
        if any(name in vals for name in AUDIENCE):
            for campaign in self.filtered(lambda one: one.state in UNDER_WAY):
                changed = [
                    name
                    for name in AUDIENCE
                    if name in vals
                    and (self._fields[name].convert_to_write(campaign[name], campaign) or False)
                    != (vals[name] or False)
                ]
                if changed:
                    raise UserError(
                        _(
                            "“%s” is under way: what it sends to whom stays as it is. Cancel it, or "
                            "duplicate it and change the copy.",
                            campaign.name,
                        )
                    )
        result = super().write(vals)
        if vals.get("scheduled_date"):
            self.filtered(lambda one: one.state == "scheduled")._wake_at_its_time()
        return result

    def _check_may_write_state(self, vals):
        if vals.get("state", "draft") != "draft" and not self.env.su:
            raise AccessError(_("The status of a campaign is changed by its buttons only."))

    def copy_data(self, default=None):
        """A duplicate is a draft of its own name, to be sent when somebody says so."""
        data = super().copy_data(default)
        for campaign, vals in zip(self, data, strict=True):
            if "name" not in (default or {}):
                vals["name"] = _("%s (copy)", campaign.name)
        return data

    @api.ondelete(at_uninstall=False)
    def _unlink_except_under_way(self):
        if any(campaign.state in UNDER_WAY for campaign in self):
            raise UserError(_("A campaign that is under way cannot be deleted. Cancel it first."))
        # Without the campaign, nobody would know that they are not to be sent.
        cancelled = self.filtered(lambda one: one.state == "cancelled")
        left = [("campaign_id", "in", cancelled.ids), ("state", "in", OPEN)]
        if any(cancelled.mapped("rows_todo")) or self.env["sicantik.notification.queue"].sudo().search_count(
            left, limit=1
        ):
            raise UserError(
                _("The messages of this campaign are still being cancelled. Delete it in a minute.")
            )

    # === TRANSITIONS ===#

    def _lock(self):
        """Lock the campaigns' rows until the end of the transaction, and read them anew.

        Not against those who only refer to them: the drain writes log rows all the time.
        """
        self.flush_recordset()
        self.env.cr.execute(
            "SELECT id FROM sicantik_notification_campaign WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
            [self.ids],
            log_exceptions=False,  # two people at once: the server does the later one again
        )
        self.invalidate_recordset(flush=False)

    def _transition(self, what, **values):
        """Bring campaigns from one state to the next. Nothing else writes `state`.

        Of several who try at once one wins; the others find the new state.

        :param str what: one of TRANSITIONS
        :param values: further fields to write
        :raise UserError: one of the campaigns is in another state
        :raise AccessError: the user may not change campaigns
        """
        check_access(self, "write")
        self = self.sudo()
        self._lock()
        allowed, state = TRANSITIONS[what]
        labels = dict(self._fields["state"]._description_selection(self.env))
        for campaign in self:
            if campaign.state not in allowed:
                raise UserError(
                    _(
                        "“%(name)s” is %(state)s; this is possible only when it is: %(allowed)s.",
                        name=campaign.name,
                        state=labels[campaign.state],
                        allowed=", ".join(labels[one] for one in allowed),
                    )
                )
        self.write({"state": state, "state_reason": False, **values})

    # === ACTIONS ===#

    def action_start(self):
        """Start at once, or at the scheduled date when that is later.

        Up to 1,000 targets are queued here; the scheduled action queues the others.
        """
        now = fields.Datetime.now()
        later = self.filtered(lambda campaign: campaign.scheduled_date and campaign.scheduled_date > now)
        # Who presses “Start” on one that is scheduled does not want to wait for its date.
        later = later.filtered(lambda campaign: campaign.state != "scheduled")
        if later:
            later._transition("schedule")
            later._wake_at_its_time()
        if self - later:
            (self - later)._transition("start")
            (self - later)._launch()
        return True

    def action_pause(self):
        """Hold what has not left: the next claim of the drain passes over it."""
        self._transition("pause", state_reason=_("Paused by %s.", self.env.user.name))
        self.sudo()._hold()
        return True

    def action_resume(self):
        """Go on; batches go on at their pace, as if there had been no pause."""
        self._transition("resume")
        for campaign in self.sudo():
            if campaign.start_date:
                campaign._release()
            else:  # it was paused before its date came
                campaign._launch()
        return True

    def action_cancel(self):
        """Cancel what has not left, and whom nobody has written to yet."""
        self._transition("cancel", state_reason=_("Cancelled by %s.", self.env.user.name))
        campaigns = self.sudo()
        campaigns.env["sicantik.notification.campaign.target"]._forget(campaigns)
        campaigns.write({"rows_todo": "cancel", "end_date": fields.Datetime.now()})
        campaigns._work_on_rows_now()
        return True

    def action_relaunch(self):
        """Send again, to those whom the domain finds now; who has been reached is left out."""
        self._transition("relaunch")
        self.sudo()._finish_rows()
        self._launch()
        return True

    def action_retry_failed(self):
        """Try the failed messages again, but for those that may have left."""
        return self._retry(interrupted=False)

    def action_retry_interrupted(self):
        """Send those again, too, of which nobody knows whether they left. Some may arrive twice."""
        return self._retry(interrupted=True)

    def _retry(self, interrupted):
        self._transition("retry", end_date=False)
        campaigns = self.sudo()
        campaigns._forget_failures()
        for campaign in campaigns:
            campaign.env["sicantik.notification.campaign.message"]._retry(campaign, interrupted)
        campaigns.env["sicantik.notification.queue"]._wake_cron()
        return True

    def action_dry_run(self):
        """Show what would happen, in a window of its own; nothing is written and nothing sent."""
        self.ensure_one()
        check_access(self, "write")
        wizard = self.env["sicantik.notification.dry.run"]._of(self)
        return open_dialog(_("Dry Run"), wizard._name, wizard.id)

    # === BEHIND THE BUTTONS ===#

    def _launch(self):
        """Freeze the audience and queue the first targets, in the caller's transaction."""
        for campaign in self.sudo():
            campaign.env["sicantik.notification.expansion"]._begin(campaign)
            campaign.env["sicantik.notification.expansion"]._first_chunk(campaign)
        self._wake_campaign_cron()

    def _hold(self):
        """What a pause asks for. The campaigns are locked and paused."""
        self._finish_rows()
        self.write({"rows_todo": "hold", "paused_date": fields.Datetime.now()})
        self._wake_campaign_cron()

    def _release(self):
        """What a resumption asks for. The campaigns are locked and running."""
        messages = self.env["sicantik.notification.campaign.message"]
        now = fields.Datetime.now()
        for campaign in self:
            paced = campaign.rule_id.schedule_type == "batch"
            pause = now - (campaign.paused_date or now) if paced else timedelta()
            if paced and campaign.rows_todo == "hold":
                messages._hold(campaign, None)  # those that leave later are known by being held
            campaign.write(
                {
                    "rows_todo": "release",
                    "held_seconds": int(pause.total_seconds()),
                    "pace_date": (campaign.pace_date or now) + pause,
                }
            )
        self._forget_failures()
        self._work_on_rows_now()
        self.env["sicantik.notification.queue"]._wake_cron()

    def _finish_rows(self):
        """Do the rest of what an earlier transition asked for, before the next one asks for something
        else.
        """
        for campaign in self.filtered(lambda one: one.rows_todo in ("release", "cancel")):
            campaign.env["sicantik.notification.campaign.message"]._step(campaign, None)

    def _work_on_rows_now(self):
        """Move the first messages in the caller's transaction; wake the scheduled action for the others.

        There may always be others: this transaction does not see what the drain has settled and the expansion
        has queued since it began.
        """
        for campaign in self:
            try:
                with self.env.cr.savepoint():
                    self.env["sicantik.notification.campaign.message"]._step(campaign, ROWS_AT_ONCE)
            except psycopg2.Error as error:
                if error.pgcode not in CONCURRENCY_ERRORS:
                    raise
                # The drain has just had one of them in its hands.
                self.env.invalidate_all(flush=False)
        self._wake_campaign_cron()

    def _forget_failures(self):
        """Let no failure so far count against the campaigns any more."""
        self.flush_recordset()
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_campaign AS c
               SET health_date = (SELECT max(q.write_date) FROM sicantik_notification_queue q
                                   WHERE q.campaign_id = c.id AND q.state IN ('sent', 'failed'))
             WHERE c.id = ANY(%s)
            """,
            [self.ids],
        )
        self.invalidate_recordset(["health_date"], flush=False)
        self.activity_unlink([ACTIVITY])

    def _halt(self, reason):
        """Pause campaigns that cannot or should not go on by themselves, and tell their owners.

        :param str reason: a sentence that says why, and what to do
        """
        self._transition("halt", state_reason=reason)
        self._hold()
        for campaign in self:
            owner = campaign.user_id or campaign.create_uid
            # It stays paused also when the owner may not see campaigns any more.
            with campaign._fence(f"activity about campaign {campaign.id}"):
                # Quick: no e-mail about it from within the drain.
                campaign.with_context(mail_activity_quick_update=True, lang=owner.lang).activity_schedule(
                    ACTIVITY,
                    user_id=owner.id,
                    summary=_("This campaign has paused by itself"),
                    note=_("Its status says why. When you have put it right, click “Resume”."),
                )

    @api.model
    def _complete_ended(self):
        """Complete the campaigns whose last message has ended.

        :return: the campaigns
        """
        self.flush_model()
        self.env["sicantik.notification.queue"].flush_model(["state", "campaign_id"])
        self.env.cr.execute(
            """
            SELECT c.id FROM sicantik_notification_campaign c
             WHERE c.state = 'running' AND c.expanded
               AND NOT EXISTS (SELECT 1 FROM sicantik_notification_queue q
                                WHERE q.campaign_id = c.id AND q.state IN ('pending', 'processing'))
          ORDER BY c.id FOR NO KEY UPDATE SKIP LOCKED
            """
        )
        ended = self.browse([id_ for (id_,) in self.env.cr.fetchall()])
        if ended:
            ended._transition("complete", end_date=fields.Datetime.now(), rows_todo=False)
        return ended

    def _reopen(self):
        """Have campaigns that were completed run on: messages of them have come back into the queue."""
        completed = self.sudo().filtered(lambda campaign: campaign.state == "completed")
        if completed:
            completed._lock()
            completed.filtered(lambda campaign: campaign.state == "completed")._transition(
                "retry", end_date=False
            )

    # === SCHEDULED ACTION ===#

    @api.model
    def _wake_campaign_cron(self, at=None):
        """Make the scheduled action run when this transaction has committed, or at a time (UTC)."""
        cron = self.env.ref(CRON, raise_if_not_found=False)
        if cron:
            cron.sudo()._trigger(at)

    def _wake_at_its_time(self):
        for date in {campaign.scheduled_date for campaign in self}:
            self._wake_campaign_cron(date)

    @api.model
    def cron_process_campaign_batch(self):
        """Scheduled action: start what is due, queue the next targets, complete what has ended, and tell the
        managers of what needs a person.

        :return: how many campaigns were worked on
        :rtype: int
        :raise AccessError: the caller is not a notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        worked = self.env["sicantik.notification.expansion"].sudo()._run()
        self.env["sicantik.notification.trouble"].sudo()._look()
        return worked
