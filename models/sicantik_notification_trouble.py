import logging

from odoo import _, api, fields, models

from .transaction import committed

_logger = logging.getLogger(__name__)

# A type of its own: the circuit of providers removes the warnings that it has made.
ACTIVITY = "sicantik_notification_automation.mail_activity_type_trouble"
PROVIDER = "sicantik.whatsapp.provider"
RULE = "sicantik.notification.rule"


class SicantikNotificationTrouble(models.Model):
    """What the managers have been told needs a person: one row for each trouble, however many messages it
    concerns, and with it one activity for each manager.

    The scheduled action of campaigns looks: what is new is told, what is mended is taken off the managers'
    lists. A manager who marks the activity as done hears of the trouble again only when it happens again.
    Campaigns that pause, providers that refuse and templates that Meta turns down tell it themselves.
    """

    _name = "sicantik.notification.trouble"
    _description = "Notification Trouble"
    _order = "id desc"

    kind = fields.Selection(
        [("interrupted", "Interrupted Messages"), ("rule", "Failing Rule")], required=True, readonly=True
    )
    res_model = fields.Char(string="Model", required=True, readonly=True)
    res_id = fields.Many2oneReference(string="Record", model_field="res_model", required=True, readonly=True)
    date = fields.Datetime(required=True, readonly=True, help="When it happened the last time.")

    _sql_constraints = [
        ("trouble_unique", "UNIQUE (kind, res_model, res_id)", "This trouble is known already."),
    ]

    @api.model
    def _look(self):
        """Tell the managers of what is new, and forget what is mended. It never stops its caller."""
        try:
            committed(self.env, lambda env: env[self._name]._compare())
        except Exception:
            _logger.exception("Could not look for what needs a person")

    def _compare(self):
        found = {**self._interrupted(), **self._failing_rules()}
        known = {(one.kind, one.res_model, one.res_id): one for one in self.search([])}
        for key, trouble in known.items():
            if key not in found:
                trouble._activities().unlink()
                trouble.unlink()
            elif found[key] > trouble.date:
                trouble.date = found[key]
                trouble._tell()
        for key in found.keys() - known.keys():
            kind, model, id_ = key
            self.create({"kind": kind, "res_model": model, "res_id": id_, "date": found[key]})._tell()

    # === WHAT THERE IS ===#

    @api.model
    def _interrupted(self):
        """Find the providers with messages of which nobody knows whether they left: {key: last date}."""
        groups = self.env["sicantik.notification.queue"]._read_group(
            [("state", "=", "failed"), ("error_class", "=", "interrupted"), ("provider_id", "!=", False)],
            ["provider_id"],
            ["write_date:max"],
        )
        return {("interrupted", PROVIDER, provider.id): last for provider, last in groups}

    @api.model
    def _failing_rules(self):
        """Find the active rules that failed when they were applied the last time: {key: date}."""
        self.env["sicantik.notification.execution"].flush_model()
        self.env.cr.execute(
            """
            SELECT rule.id, execution.create_date
              FROM sicantik_notification_rule rule, LATERAL (
                       SELECT error, create_date FROM sicantik_notification_execution
                        WHERE rule_id = rule.id ORDER BY id DESC LIMIT 1
                   ) AS execution
             WHERE rule.active AND execution.error IS NOT NULL
            """
        )
        return {("rule", RULE, id_): date for id_, date in self.env.cr.fetchall()}

    # === TELLING ===#

    def _activities(self):
        self.ensure_one()
        type_id = self.env["ir.model.data"]._xmlid_to_res_id(ACTIVITY, raise_if_not_found=False)
        return self.env["mail.activity"].search(
            [
                ("res_model", "=", self.res_model),
                ("res_id", "=", self.res_id),
                ("activity_type_id", "=", type_id),
            ]
        )

    def _tell(self):
        """Give each manager who may see the record one activity about it, unless they have it still."""
        self.ensure_one()
        record = self.env[self.res_model].browse(self.res_id).exists()
        if not record:
            return
        company = record.company_id if "company_id" in record._fields else None
        users = self.env["sicantik.notification.alert"]._users(company)
        for user in users - self._activities().user_id:
            speaking = self.with_context(lang=user.lang)
            summary, note = speaking._words()
            record.with_context(mail_activity_quick_update=True, lang=user.lang).activity_schedule(
                ACTIVITY, user_id=user.id, summary=summary, note=note
            )

    def _words(self):
        """Give the title and the text of the activity, in the language of the environment."""
        if self.kind == "interrupted":
            return (
                _("Messages by this provider are interrupted"),
                _(
                    "Nobody knows whether they left. Open the delivery queue with the filter “Interrupted: "
                    "Outcome Unknown”, ask the recipients, then retry the messages or leave them. Whether "
                    "they are sent again without asking is said in the provider."
                ),
            )
        return (
            _("This rule fails"),
            _("Its messages are not made. The rule shows the error; correct it, and preview a record."),
        )
