import logging
import traceback

from markupsafe import Markup

from odoo import _, api, models

_logger = logging.getLogger(__name__)


class SicantikNotificationNote(models.AbstractModel):
    """Notes in the chatter of records: which messages of a rule were sent about them."""

    _name = "sicantik.notification.note"
    _description = "Notes of Sent Messages"

    @api.model
    def _post(self, ids):
        """Note messages that were sent on the records that they are about.

        One call per model makes the notes of all its records; nobody is notified. Records without a chatter
        get none. Whatever goes wrong costs the notes and nothing else: the caller is writing down that
        messages have left.

        :param list ids: ids of queue rows
        """
        self.env.flush_all()
        try:
            with self.env.cr.savepoint(flush=False):
                self._post_all(ids)
                self.env.flush_all()
        except Exception as error:
            self.env.clear()
            # The text of a database error could quote the note, and with it a name.
            _logger.error(
                "Notes of sent messages could not be posted: %s\n%s",
                type(error).__name__,
                "".join(traceback.format_tb(error.__traceback__)),
            )

    def _post_all(self, ids):
        rows = self.env["sicantik.notification.queue"].search_fetch(
            [("id", "in", ids), ("state", "=", "sent"), ("res_id", "!=", False)],
            ["res_model", "res_id", "rule_id", "partner_id", "provider_id"],
            order="id",
        )
        sentences = {}
        for row in rows:
            if isinstance(self.env.get(row.res_model), self.env.registry["mail.thread"]):
                sentences.setdefault(row.res_model, {}).setdefault(row.res_id, []).append(self._sentence(row))
        for model, by_record in sentences.items():
            records = self.env[model].with_context(active_test=False).browse(by_record).exists()
            records._message_log_batch(
                {record.id: Markup("<br/>").join(by_record[record.id]) for record in records}
            )

    def _sentence(self, row):
        return _(
            "The message of the rule “%(rule)s” was sent to %(recipient)s (%(way)s).",
            rule=row.rule_id.display_name,
            recipient=row.partner_id.display_name or _("a number without a contact"),
            way=row.provider_id.display_name or _("E-mail"),
        )
