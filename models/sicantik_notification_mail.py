from collections import defaultdict

from odoo import _, api, fields, models
from odoo.tools import formataddr, is_html_empty

from ..providers import errors
from .mail_template import TZ_KEY
from .road import EMAIL, Handed, Refusal
from .transaction import committed

MAIL_CRON = "mail.ir_cron_mail_scheduler_action"
# What is rendered of a mail template. To whom it goes is not: the rule says that, one mail for each.
RENDERED = (
    *("subject", "body_html", "email_from", "reply_to", "scheduled_date", "attachment_ids"),
    *("report_template_ids", "mail_server_id", "auto_delete", "model", "res_id"),
)
FALLBACK_TZ = "Asia/Jakarta"


class SicantikNotificationMail(models.AbstractModel):
    """E-mail, the other channel: from queue row to a mail in Odoo's own mail queue.

    “Sent” means that the mail is there. It is written in the transaction that settles its row, so there is
    one mail for each row that is sent, whatever dies when. Odoo's *Mail: Email Queue Manager* speaks to the
    mail server; what becomes of the mail there comes back as the `delivery_state` of the log row, which knows
    the mail by its Message-Id.
    """

    _name = "sicantik.notification.mail"
    _description = "Notification E-mail"

    # === WHETHER ===#

    @api.model
    def _blocked(self, addresses):
        """Find the addresses whose owners want no mail (Odoo's own e-mail blacklist).

        :param addresses: normalized addresses
        :rtype: set
        """
        addresses = list(set(addresses))
        if not addresses:
            return set()
        found = self.env["mail.blacklist"].sudo().with_context(active_test=True)
        return set(found.search([("email", "in", addresses)]).mapped("email"))

    @api.model
    def _hold_back(self, rows):
        """Turn e-mails that must not go out into skipped ones, each with its reason.

        :param list[dict] rows: values of queue rows, of any channel
        """
        mails = [row for row in rows if row.get("channel") == EMAIL and row["state"] == "pending"]
        blocked = self._blocked(row["email"] for row in mails)
        for row in mails:
            if row["email"] in blocked:
                row.update(
                    state="skipped",
                    is_blacklisted=True,
                    error_class="blacklisted",
                    error_message=self._blocked_message(),
                )

    @api.model
    def _refusal(self, row, blocked):
        """Check again what may have changed since an e-mail was queued.

        :param Row row: claimed row of an e-mail
        :param set blocked: addresses, from `_blocked`
        :return: a Refusal, None when it may go
        """
        if not row.email:
            return Refusal(
                "no_email", _("There is no e-mail address. Enter one in the contact, then retry the message.")
            )
        if row.email in blocked:
            return Refusal("blacklisted", self._blocked_message())
        return None

    def _blocked_message(self):
        return _("The address is on the e-mail blacklist (Settings › Technical › Email Blacklist).")

    # === THE MAILS ===#

    @api.model
    def _hand_over(self, worker, jobs, rules):
        """Write the mails of jobs into Odoo's mail queue, and wake it.

        Their rows have to be settled in the same transaction.

        :param int worker: whose claim the rows are under
        :param list[Job] jobs: e-mails
        :param dict rules: {rule id: Rule}
        :return: the jobs whose rows are still ours, with a Handed or a Refusal as their verdicts
        :rtype: list[Job]
        """
        if not jobs:
            return []
        ours = self._lock(worker, jobs)
        jobs = [job for job in jobs if job.row.id in ours]
        ids = list({job.row.partner_id for job in jobs})
        partners = self.env["res.partner"].with_context(active_test=False)
        partners = partners.search_fetch([("id", "in", ids)], ["name", "lang"])
        partners = {partner.id: partner for partner in partners}
        letters = defaultdict(list)
        for job in jobs:
            rule, partner = rules.get(job.row.rule_id), partners.get(job.row.partner_id)
            template_id = rule.mail_template_id if rule else None
            letters[template_id, job.row.company_id, partner.lang if partner else None].append(job)
        for (template_id, company_id, lang), group in letters.items():
            template = self._template(template_id, company_id, lang)
            for job in self._written(template, group, partners):
                if not job.verdict:  # it broke the mails of the others: each by itself
                    self._written(template, [job], partners, alone=True)
        if any(isinstance(job.verdict, Handed) for job in jobs):
            cron = self.env.ref(MAIL_CRON, raise_if_not_found=False)
            if cron:
                cron.sudo()._trigger()
        return jobs

    def _lock(self, worker, jobs):
        """Lock rows until they are settled; give the ids of those that are under our claim."""
        self.env.cr.execute(
            """
            SELECT id FROM sicantik_notification_queue
             WHERE id = ANY(%s) AND state = 'processing' AND worker = %s ORDER BY id FOR UPDATE
            """,
            [[job.row.id for job in jobs], worker],
        )
        return {id_ for (id_,) in self.env.cr.fetchall()}

    @api.model
    def _template(self, template_id, company_id, lang):
        """Give a mail template as it is written in a language and a company's name and time; empty when it
        is gone.
        """
        templates = self.env["mail.template"].sudo()
        company = self.env["res.company"].browse(company_id or 0).exists() or self.env.company
        lang = lang or company.partner_id.lang or self.env.lang
        zone = company.partner_id.tz or FALLBACK_TZ
        # `template_preview_lang` goes before the language that the template itself names.
        context = {"lang": lang, "template_preview_lang": lang, "tz": zone, TZ_KEY: zone}
        return templates.browse(template_id or 0).exists().with_company(company).with_context(**context)

    def _written(self, template, jobs, partners, alone=False):
        """Write the mails that one template says in one language.

        :param bool alone: whether a failure is the job's own
        :return: the jobs
        """
        with self.env["sicantik.notification.evaluation"]._fence(f"e-mail template {template.id}") as failure:
            verdicts = self._write_mails(template, jobs, partners)
        if not failure.error:
            for job in jobs:
                job.verdict = verdicts[job.row.id]
        elif alone or len(jobs) == 1:
            jobs[0].verdict = Refusal(
                errors.BAD_TEMPLATE,
                _(
                    "The e-mail cannot be written: %s\nCorrect the e-mail template, then retry the message.",
                    failure.error,
                ),
            )
        return jobs

    def _write_mails(self, template, jobs, partners):
        """Create one mail per job.

        :return: {row id: Handed or Refusal}
        :rtype: dict
        """
        written = self._compose(template, {job.row.res_id for job in jobs if self._fits(template, job.row)})
        verdicts, vals_list, attached, rows = {}, [], [], []
        for row in (job.row for job in jobs):
            if row.res_id not in written or not self._fits(template, row):
                verdicts[row.id] = self._why_not_written(template, row)
                continue
            vals = dict(written[row.res_id])
            attached.append(vals.pop("attachments", ()))
            partner = partners.get(row.partner_id)
            vals["email_to"] = formataddr((partner.name or "" if partner else "", row.email))
            vals_list.append(vals)
            rows.append(row)
        mails = self.env["mail.mail"].sudo().create(vals_list)
        for row, mail, files in zip(rows, mails, attached, strict=True):
            if files:
                owner = {"type": "binary", "res_model": "mail.message", "res_id": mail.mail_message_id.id}
                mail.attachment_ids = [(0, 0, {"name": name, "datas": data, **owner}) for name, data in files]
            verdicts[row.id] = Handed(mail.message_id)
        return verdicts

    def _fits(self, template, row):
        return bool(template) and template.model == row.res_model

    def _why_not_written(self, template, row):
        if self._fits(template, row):
            return Refusal("no_record", _("The record that this e-mail is about has been deleted."))
        return Refusal(
            "no_template",
            _("The rule has no e-mail template for this record. Choose one there, then retry the message."),
        )

    @api.model
    def _compose(self, template, res_ids):
        """Render a template for records, all at once.

        :param template: from `_template`
        :param res_ids: ids of records of its model
        :return: {record id: values of a mail, and `attachments`: [(name, data as base64)]}; records that are
            gone are left out
        :rtype: dict
        """
        if not template or not res_ids:
            return {}
        records = template.env[template.model].sudo().browse(sorted(res_ids)).exists()
        try:
            composed = template._generate_template(records.ids, RENDERED)
        except Exception as error:
            # What Odoo says quotes the whole template; behind it is what went wrong, be it a query that
            # collided.
            while error.__cause__:
                error = error.__cause__
            raise error
        for record in records:
            vals = composed[record.id]
            vals["email_from"] = vals.get("email_from") or template.env.company.email_formatted
            if not vals["email_from"]:
                del vals["email_from"]
            vals["attachment_ids"] = [(4, id_) for id_ in vals.get("attachment_ids") or ()]
            vals["body_html"] = vals["body"] = self._in_layout(template, record, vals["body_html"])
        return composed

    def _in_layout(self, template, record, body):
        """Put a text into the layout that its template names."""
        if not template.email_layout_xmlid or is_html_empty(body):
            return body
        company = record.company_id if "company_id" in record._fields else None
        around = {
            "message": template.env["mail.message"].new({"body": body, "record_name": record.display_name}),
            "subtype": template.env["mail.message.subtype"],
            "model_description": template.env["ir.model"]._get(record._name).display_name,
            "company": company or template.env.company,
            "record_name": False,
            "subtitles": False,
            "email_add_signature": False,
            "signature": "",
            "website_url": "",
            "is_html_empty": is_html_empty,
        }
        return template._render_encapsulate(template.email_layout_xmlid, body, around, record) or body

    # === WHAT BECAME OF THEM ===#

    @api.model
    def _note_outcome(self, message_ids, problem=None):
        """Write into the log what the mail server said of mails.

        A mail that has failed and is sent again by hand is `accepted` again. It is written after the commit,
        in a transaction of its own: a collision in the one that has just sent a mail would send it again.

        :param list message_ids: Message-Ids of mails, of ours and of others
        :param str problem: why they did not arrive; None when they left
        """
        state = "failed" if problem else "accepted"
        logs = self.env["sicantik.notification.log"].sudo()
        logs = logs.search(
            [
                ("external_message_id", "in", list(message_ids)),
                ("channel", "=", EMAIL),
                ("state", "=", "sent"),
                ("delivery_state", "!=", state),
            ]
        )
        if logs:
            ids, now = logs.ids, fields.Datetime.now()
            self.env.cr.postcommit.add(
                lambda: committed(
                    self.env, lambda env: env[self._name]._write_outcome(ids, state, problem, now)
                )
            )

    @api.model
    def _write_outcome(self, log_ids, state, problem, now):
        self.env.cr.execute(
            """
            UPDATE sicantik_notification_log
               SET delivery_state = %s, delivery_failed_date = %s, error_message = %s
             WHERE id = ANY(%s)
            """,
            [state, now if problem else None, problem, log_ids],
        )
        self.env["sicantik.notification.log"].invalidate_model()
