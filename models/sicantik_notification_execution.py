import json

from odoo import api, fields, models

from .sicantik_notification_tally import HELD_BACK


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
    held_back_count = fields.Integer(
        string="Held Back", help="Messages that the repeat policy of the rule has left out."
    )
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
        return self.browse(filter(None, self._write_rows([self._row(trigger, records, rule, error)])))

    @api.model
    def _row(self, trigger, records=None, rule=None, error=None, held_back=0):
        """Give the row that `_note` writes, for `_write_rows`.

        :param int held_back: how many messages the repeat policy of the rule has left out
        """
        return {
            "trigger_id": trigger.id,
            "rule_id": rule.id if rule else None,
            "record_count": len(records or ()),
            "held_back_count": held_back,
            "res_ids": records.ids if records else [],
            "error": error or None,
        }

    @api.model
    def _write_rows(self, rows):
        """Write rows, in one statement. Those of a trigger that is deleted meanwhile are left out: this may
        run without a fence, and must not break the transaction around it.

        :param list[dict] rows: from `_row`
        :return: the id of each row, None for one that was left out
        :rtype: list
        """
        if not rows:
            return []
        self._forget_counters()
        self.env.cr.execute(
            """
            INSERT INTO sicantik_notification_execution
                (trigger_id, rule_id, record_count, held_back_count, res_ids, error,
                 create_uid, create_date, write_uid, write_date)
            SELECT trigger_id, rule_id, record_count, held_back_count, res_ids, error,
                   %(uid)s, now() at time zone 'UTC', %(uid)s, now() at time zone 'UTC'
              FROM jsonb_to_recordset(%(rows)s::jsonb)
                AS given (position int, trigger_id int, rule_id int, record_count int,
                          held_back_count int, res_ids jsonb, error text)
             WHERE EXISTS (SELECT 1 FROM sicantik_notification_trigger WHERE id = given.trigger_id)
          ORDER BY position
         RETURNING id, trigger_id
            """,
            {
                "uid": self.env.uid,
                "rows": json.dumps([{"position": at, **row} for at, row in enumerate(rows)]),
            },
            log_exceptions=False,  # the server would log the errors, which may quote names
        )
        written = self.env.cr.fetchall()
        ids, triggers = iter([id_ for id_, _trigger in written]), {trigger for _id, trigger in written}
        return [next(ids) if row["trigger_id"] in triggers else None for row in rows]

    @api.model
    def _without(self, rows, res_ids):
        """Leave records out of rows that are still to be written, because they are counted elsewhere.

        :param list[dict] rows: from `_row`
        :param res_ids: ids of the records
        :rtype: list[dict]
        """
        gone, kept = set(res_ids), []
        for row in rows:
            left = [id_ for id_ in row["res_ids"] if id_ not in gone]
            if left or row["error"]:
                kept.append({**row, "res_ids": left, "record_count": len(left)})
        return kept if gone else rows

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
        self.env["sicantik.notification.rule"].invalidate_model(["held_back_count"])

    @api.model
    def _held_back(self, rule_ids):
        """Count the messages that the repeat policy of rules has held back, deleted rows included.

        :return: {rule id: how many}, 0 for what is not there
        :rtype: Counter
        """
        groups = self._read_group([("rule_id", "in", rule_ids)], ["rule_id"], ["held_back_count:sum"])
        counts = self.env["sicantik.notification.tally"]._executions("rule_id", rule_ids, HELD_BACK)
        counts.update({rule.id: count or 0 for rule, count in groups})
        return counts

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
        gone = self.env["sicantik.notification.tally"]._executions(by, ids)
        return {
            owner.id: (count + gone[owner.id], date, errors.get(last) or False)
            for owner, count, date, last in groups
        }
