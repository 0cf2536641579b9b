from odoo import api, fields, models

from .sicantik_notification_tally import EXECUTED


class SicantikNotificationExecution(models.Model):
    """The journal of what fired: one row per evaluation of a trigger, and one per rule that it applied.

    Counters and last errors of triggers and rules are read from here. They are not columns of the trigger or
    the rule, because then every business transaction that fires it would write the same row and wait for, or
    collide with, every other one. A row names its records, so that a transaction that takes its own event
    back can take them out again. The cleanup deletes old rows, but never the last one of a trigger or rule.
    """

    _name = "sicantik.notification.execution"
    _description = "Notification Execution"
    _order = "id desc"

    trigger_id = fields.Many2one("sicantik.notification.trigger", ondelete="cascade", index=True)
    rule_id = fields.Many2one("sicantik.notification.rule", ondelete="cascade", index="btree_not_null")
    record_count = fields.Integer()
    res_ids = fields.Json()
    error = fields.Text()

    @api.model
    def _note(self, trigger, records=None, rule=None, error=None):
        """Write one row; nothing when there is neither a record nor an error to tell of.

        :param trigger: the trigger that was evaluated
        :param records: the records that it fired for, or that the rule was applied to
        :param rule: the rule, None for the trigger itself
        :param str error: what went wrong
        :return: the row, or an empty recordset
        """
        if not records and not error:
            return self.browse()
        self._forget_counters()
        return self.create(
            {
                "trigger_id": trigger.id,
                "rule_id": rule.id if rule else False,
                "record_count": len(records or ()),
                "res_ids": records.ids if records else [],
                "error": error or False,
            }
        )

    @api.model
    def _take_back(self, ids, res_ids):
        """Take records out of rows that this transaction wrote; a row that is left without any is deleted."""
        self._forget_counters()
        gone = set(res_ids)
        for row in self.browse(set(ids)).exists():
            left = [id_ for id_ in row.res_ids or [] if id_ not in gone]
            if left:
                row.write({"res_ids": left, "record_count": len(left)})
            elif not row.error:
                row.unlink()

    @api.model
    def _forget_counters(self):
        """Drop from the cache what triggers and rules read from here."""
        for name in ("sicantik.notification.trigger", "sicantik.notification.rule"):
            self.env[name].invalidate_model(["execution_count", "last_execution_date", "last_error"])

    @api.model
    def _statistics(self, by, ids, domain):
        """Read the counters of triggers or rules, deleted rows included.

        :param str by: `trigger_id` or `rule_id`
        :param list ids: ids of the triggers or rules
        :param list domain: which rows count
        :return: {id: (records, last execution, error of the last evaluation or False)}
        :rtype: dict
        """
        groups = self._read_group(
            [(by, "in", ids), *domain], [by], ["record_count:sum", "create_date:max", "id:max"]
        )
        errors = {row.id: row.error for row in self.browse([last for *_rest, last in groups])}
        gone = self.env["sicantik.notification.tally"]._totals(by, ids)
        return {
            owner.id: (count + gone[owner.id, EXECUTED], date, errors.get(last) or False)
            for owner, count, date, last in groups
        }
