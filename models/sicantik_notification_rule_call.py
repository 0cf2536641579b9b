from odoo import _, models

from ..compat import check_access
from .base import plain_context
from .sicantik_notification_evaluation import PER_RECORD_NAMES, Event

# Records that one call queues in its own transaction. For more there are campaigns, which go chunk by chunk.
MOST = 10_000
CHUNK = 1000


class SicantikNotificationRule(models.Model):
    """Rules that a person or a server action applies to records, past their trigger."""

    _inherit = "sicantik.notification.rule"

    def _call(self, records, event_key=None):
        """Apply one rule to records.

        The rule decides as always: condition, repeat policy, recipients, blacklist, schedule. Its trigger is
        not asked. Nothing that goes wrong in it leaves this method as an exception; it is shown as the last
        error of the rule.

        :param records: recordset of the rule's model; the caller must be allowed to read it
        :param str event_key: what makes this event the same one when it comes again; without it each call is
            a new event
        :return: as `fire` of triggers
        :rtype: dict
        :raise AccessError: the caller is no internal user, or may not read the records
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_internal()
        records = records.browse(records.ids)  # in a form that is not saved there may be new ones
        if not records.env.su:
            check_access(records, "read")
        rule = self._plain()
        trigger = rule.trigger_id
        reason = rule._why_not(records)
        if reason:
            return trigger._result(reason=reason)
        with rule._fence(f"rule {rule.id}") as failure:
            matched, queue_ids, error, held_back = rule._apply_in_chunks(
                records.with_env(rule.env), Event(event_key or trigger._new_key())
            )
            journal = rule.env["sicantik.notification.execution"]
            if matched or error:
                journal._write_rows([journal._row(trigger, matched, rule, error, held_back)])
            if not queue_ids:
                return trigger._result(reason=error or rule._why_nothing(matched))
            return trigger._result(rules_processed=rule.ids, queue_ids=queue_ids, count=len(queue_ids))
        rule.env["sicantik.notification.execution"]._note(trigger, None, rule, failure.error)
        return trigger._result(reason=failure.error)

    def _call_due(self):
        """Apply one rule to all records that meet the conditions of its trigger and its own. So does a
        scheduled action, which is not told of any.

        :return: as `fire` of triggers
        :rtype: dict
        :raise AccessError: the caller is not a notification manager
        """
        self.ensure_one()
        self.env["sicantik.notification.access"]._check_manager()
        rule = self._plain()
        with rule._fence(f"rule {rule.id}") as failure:
            return rule._call(
                rule.env[rule.model_name].search(rule._due_domain(), order="id", limit=MOST + 1)
            )
        rule.env["sicantik.notification.execution"]._note(rule.trigger_id, None, rule, failure.error)
        return rule.trigger_id._result(reason=failure.error)

    def _plain(self):
        """Give the rule in superuser mode, without what the context says of the caller's own business."""
        return self.with_env(self.env(su=True, context=plain_context(self.env.context)))

    def _due_domain(self):
        """Say which records meet the conditions, as far as these do not speak of a single one: such a
        condition is asked of each record later.
        """
        texts = (self.trigger_id.condition_domain, self.condition_domain)
        plain = (text for text in texts if text and not self._names_in(text) & PER_RECORD_NAMES)
        values = self._domain_values()
        return [part for text in plain for part in self._eval_domain(text, values)]

    def _apply_in_chunks(self, records, event):
        """Apply the rule as `_apply` does, to thousands of records to which the same happened.

        :return: the records that met the conditions, ids of queue rows, what went wrong first or None, how
            many messages were held back
        :rtype: tuple
        """
        matched, queue_ids, first_error, held_back = records.browse(), [], None, 0
        for start in range(0, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            met, queued, error, held = self._apply(chunk, dict.fromkeys(chunk.ids, event))
            matched += met
            queue_ids += [id_ for ids in queued.values() for id_ in ids]
            first_error = first_error or error
            held_back += held
        return matched, queue_ids, first_error, held_back

    def _why_not(self, records):
        """Say why the rule is not applied to records at all; None when it is."""
        if not self.active:
            return _("The rule “%s” is switched off. Activate it first.", self.name)
        if records._name != self.model_name:
            return _(
                "The rule “%(rule)s” is for “%(model)s”, not for “%(other)s”. Choose another rule.",
                rule=self.name,
                model=self.trigger_id.model_id.name,
                other=self.env["ir.model"]._get(records._name).name,
            )
        if not records:
            return _("No record was given.")
        if len(records) > MOST:
            return _(
                "These are more than %s records at once. Make a campaign of them, or select fewer.", MOST
            )
        return None

    def _why_nothing(self, matched):
        if matched:
            return _("The people concerned have been told already, and the rule does not repeat itself.")
        return _("No record meets the condition of the rule.")
