from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from .sicantik_notification_evaluation import Event, Failure

# Targets that one step turns into queue rows: each step ends with a commit of its own.
CHUNK = 1000
CRON = "sicantik_notification_automation.ir_cron_campaign_batch"
ENDED = ("sent", "failed", "skipped", "cancelled")


class SicantikNotificationCampaign(models.Model):
    """One message of a rule to everybody whom a domain finds (seed 2, section 5).

    States::

        draft ──action_start──► scheduled ──cron──► running ──► completed
                     └──────────────────────────────►  │ ▲
                                       action_pause ▼  │ action_resume
                                                    paused
        scheduled, running, paused ──action_cancel──► cancelled

    Targets become queue rows in order of their ids, up to `last_target_id`, which is written in the
    transaction that queues them: an interrupted expansion goes on where it was.
    """

    _name = "sicantik.notification.campaign"
    _description = "Notification Campaign"
    _inherit = "sicantik.notification.evaluation"
    _order = "id desc"

    name = fields.Char(string="Campaign Name", required=True)
    description = fields.Text()
    rule_id = fields.Many2one("sicantik.notification.rule", required=True, ondelete="restrict", index=True)
    target_model = fields.Char(required=True, default="sicantik.permit", help="Such as sicantik.permit.")
    target_domain = fields.Char(default="[]", help="Who is written to, such as [('state', '=', 'approved')].")
    template_key = fields.Char(string="Template Key Override", help="Empty: the template of the rule.")
    scheduled_date = fields.Datetime(string="Send At", help="Empty: at once.")
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
    )
    total_targets = fields.Integer(compute="_compute_totals")
    total_sent = fields.Integer(compute="_compute_totals")
    total_failed = fields.Integer(compute="_compute_totals")
    total_skipped = fields.Integer(compute="_compute_totals")
    total_pending = fields.Integer(compute="_compute_totals")
    progress_percentage = fields.Float(string="Progress", compute="_compute_totals")
    queue_ids = fields.One2many(
        "sicantik.notification.queue", "campaign_id", string="Messages", readonly=True
    )
    log_ids = fields.One2many("sicantik.notification.log", "campaign_id", readonly=True)
    last_target_id = fields.Integer(default=0, copy=False, readonly=True)
    expanded = fields.Boolean(copy=False, readonly=True, help="All targets are in the queue.")
    company_id = fields.Many2one(
        "res.company", required=True, index=True, default=lambda self: self.env.company
    )

    def _compute_totals(self):
        """One grouped read for all campaigns; nothing is counted while messages are sent."""
        counts = self.env["sicantik.notification.tally"]._totals("campaign_id", self.ids)
        for campaign in self:

            def count(*states, of=campaign):
                return sum(counts[of.id, state] for state in states)

            campaign.total_sent = count("sent")
            campaign.total_failed = count("failed")
            campaign.total_skipped = count("skipped", "cancelled")
            campaign.total_pending = count("pending", "processing")
            campaign.total_targets = count(*ENDED, "pending", "processing")
            campaign.progress_percentage = 100 * count(*ENDED) / (campaign.total_targets or 1)

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

    # === ACTIONS ===#

    def _move(self, allowed, state):
        """Change the state of campaigns that are in one of `allowed`.

        :raise UserError: one of them is in another state
        """
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
        self.write({"state": state})

    def action_start(self):
        now = fields.Datetime.now()
        later = self.filtered(lambda campaign: campaign.scheduled_date and campaign.scheduled_date > now)
        later._move(("draft",), "scheduled")
        (self - later)._move(("draft", "scheduled"), "running")
        for campaign in self - later:
            campaign.sudo()._expand()
        return True

    def action_pause(self):
        self._move(("running",), "paused")
        return True

    def action_resume(self):
        self._move(("paused",), "running")
        self._wake_campaign_cron()
        self.env["sicantik.notification.queue"]._wake_cron()
        return True

    def action_cancel(self):
        self._move(("scheduled", "running", "paused"), "cancelled")
        pending = self.env["sicantik.notification.queue"].search(
            [("campaign_id", "in", self.ids), ("state", "=", "pending")]
        )
        if pending:
            pending.action_cancel()
        return True

    # === EXPANSION ===#

    def _expand(self):
        """Queue the next targets; wake the cron for the rest."""
        self.ensure_one()
        self = self.with_company(self.company_id)
        rule = self.rule_id.sudo()
        targets = self.env[self.target_model].sudo().with_context(active_test=True)
        domain = self._eval_domain(self.target_domain, self._domain_values())
        if "company_id" in targets._fields:
            domain = [("company_id", "in", (self.company_id.id, False)), *domain]
        targets = targets.search([*domain, ("id", ">", self.last_target_id)], order="id", limit=CHUNK)
        queue = self.env["sicantik.notification.queue"]
        if targets:
            # Without a key: nobody is told twice because `last_target_id` is written with the rows.
            events = dict.fromkeys(targets.ids, Event(None))
            trouble = Failure()
            before = 0
            if rule.schedule_type == "batch":
                before = queue.search_count([("campaign_id", "=", self.id), ("state", "!=", "skipped")])
            rows = rule._prepare_rows(targets, events, trouble, self.template_key, before)
            for row in rows:
                row["campaign_id"] = self.id
            queue._enqueue(rows)
            if trouble.error:
                self.env["sicantik.notification.execution"]._note(rule.trigger_id, None, rule, trouble.error)
            self.last_target_id = targets[-1].id
        self.expanded = len(targets) < CHUNK
        if not self.expanded:
            self._wake_campaign_cron()

    @api.model
    def _wake_campaign_cron(self):
        self.env.ref(CRON).sudo()._trigger()

    @api.model
    def cron_process_campaign_batch(self):
        """Scheduled action: start what is due, queue the next targets, complete what has ended.

        :return: how many campaigns were worked on
        :rtype: int
        :raise AccessError: the caller is not a notification manager
        """
        self.env["sicantik.notification.access"]._check_manager()
        campaigns = self.sudo()
        due = campaigns.search([("state", "=", "scheduled"), ("scheduled_date", "<=", fields.Datetime.now())])
        due._move(("scheduled",), "running")
        running = campaigns.search([("state", "=", "running")])
        for campaign in running.filtered(lambda one: not one.expanded):
            with campaign._fence(f"campaign {campaign.id}") as failure:
                campaign._expand()
            if failure.error:
                # It would fail every time, and the others with it.
                campaign.state = "paused"
                self.env["sicantik.notification.execution"].sudo()._note(
                    campaign.rule_id.trigger_id, None, campaign.rule_id, failure.error
                )
        running.filtered(lambda one: one.expanded and not one.total_pending)._move(("running",), "completed")
        return len(running)
