from collections import Counter

from odoo import api, fields, models

ENDED = [("sent", "Sent"), ("failed", "Failed"), ("skipped", "Skipped"), ("cancelled", "Cancelled")]
EXECUTED = "executed"
HELD_BACK = "held_back"
# What a row `t` of the queue, or of the journal, adds to whom: columns of the relation that `_adding` takes.
MESSAGES = """
    t.rule_id, t.campaign_id, t.auto_message_id, NULL::integer AS trigger_id, t.company_id, t.state AS kind,
    1 AS amount
"""
# A row of the journal that names a rule counts for the rule alone (see `_statistics`).
EXECUTIONS = f"""
    t.rule_id, NULL::integer AS campaign_id, NULL::integer AS auto_message_id,
    CASE WHEN t.rule_id IS NULL THEN t.trigger_id END AS trigger_id, NULL::integer AS company_id,
    '{EXECUTED}' AS kind, t.record_count AS amount, COALESCE(t.held_back_count, 0) AS held_back
"""
# The relation that deleted rows of the journal, a table `gone` of these columns, are for `_adding`.
OF_EXECUTIONS = f"""(
    SELECT rule_id, campaign_id, auto_message_id, trigger_id, company_id, kind, amount FROM gone
 UNION ALL
    SELECT rule_id, campaign_id, auto_message_id, trigger_id, company_id, '{HELD_BACK}', held_back FROM gone
)"""
# Targets of campaigns that have no row in the queue yet.
WAITING = """
         UNION ALL
            SELECT campaign_id, 'waiting', count(*) FROM sicantik_notification_campaign_target
             WHERE campaign_id = ANY(%(ids)s) GROUP BY 1
"""


class SicantikNotificationTally(models.Model):
    """What deleted rows had counted: totals are the rows that are there plus their tally.

    Amounts are added in the very statement or transaction that deletes the rows, so neither a crash nor a
    rollback can lose or double them. A line has one owner: when that is deleted its line goes with it, and
    those of the others stay as they are. `company_id` is that of the messages, because who may not see a
    message does not see it counted either.
    """

    _name = "sicantik.notification.tally"
    _description = "Notification Tally"
    _log_access = False

    rule_id = fields.Many2one("sicantik.notification.rule", ondelete="cascade", index="btree_not_null")
    campaign_id = fields.Many2one(
        "sicantik.notification.campaign", ondelete="cascade", index="btree_not_null"
    )
    auto_message_id = fields.Many2one("sicantik.auto.message", ondelete="cascade", index="btree_not_null")
    trigger_id = fields.Many2one("sicantik.notification.trigger", ondelete="cascade", index="btree_not_null")
    company_id = fields.Many2one("res.company", ondelete="cascade")
    kind = fields.Selection([*ENDED, (EXECUTED, "Executed"), (HELD_BACK, "Held Back")], required=True)
    amount = fields.Integer(required=True)

    def init(self):
        # One line per owner, company and kind; empty columns are equal here, unlike in a UNIQUE constraint.
        self.env.cr.execute(
            """
            CREATE UNIQUE INDEX IF NOT EXISTS sicantik_notification_tally_line
                ON sicantik_notification_tally (
                   COALESCE(rule_id, 0), COALESCE(campaign_id, 0), COALESCE(auto_message_id, 0),
                   COALESCE(trigger_id, 0), COALESCE(company_id, 0), kind)
            """
        )

    @api.model
    def _adding(self, rows):
        """Give the statement that adds rows to the tally.

        :param str rows: a relation with the columns of `MESSAGES`: a name, or a query in parentheses
        :return: an INSERT without parameters of its own
        :rtype: str
        """
        return f"""
            INSERT INTO sicantik_notification_tally AS line
                   (rule_id, campaign_id, auto_message_id, trigger_id, company_id, kind, amount)
            SELECT owner.rule_id, owner.campaign_id, owner.auto_message_id, owner.trigger_id,
                   one.company_id, one.kind, sum(one.amount)
              FROM {rows} AS one
        CROSS JOIN LATERAL (VALUES
                   (one.rule_id, NULL::integer, NULL::integer, NULL::integer),
                   (NULL, one.campaign_id, NULL, NULL),
                   (NULL, NULL, one.auto_message_id, NULL),
                   (NULL, NULL, NULL, one.trigger_id)
                   ) AS owner (rule_id, campaign_id, auto_message_id, trigger_id)
             WHERE num_nonnulls(owner.rule_id, owner.campaign_id, owner.auto_message_id, owner.trigger_id) = 1
               AND one.amount > 0
          GROUP BY 1, 2, 3, 4, 5, 6
          ORDER BY 1, 2, 3, 4, 5, 6
       ON CONFLICT (COALESCE(rule_id, 0), COALESCE(campaign_id, 0), COALESCE(auto_message_id, 0),
                    COALESCE(trigger_id, 0), COALESCE(company_id, 0), kind)
         DO UPDATE SET amount = line.amount + EXCLUDED.amount
        """

    @api.model
    def _count_deleted(self, rows):
        """Add queue rows that are about to be deleted, in the transaction that deletes them.

        :param rows: queue rows, still there; each is to be passed once
        """
        rows.flush_recordset()
        chosen = f"(SELECT {MESSAGES} FROM sicantik_notification_queue AS t WHERE t.id = ANY(%s))"
        self.env.cr.execute(self._adding(chosen), [list(rows.ids)])

    @api.model
    def _totals(self, by, ids):
        """Count the messages of some owners: those that are there and those that were deleted, in one query.

        Messages of companies that the user does not work for are left out, as by the record rules.

        :param str by: `rule_id`, `campaign_id` or `auto_message_id`
        :param list ids: ids of the owners
        :return: {(owner's id, state): amount}, 0 for what is not there; of campaigns also what is `waiting`:
            targets that have no messages yet
        :rtype: Counter
        """
        if by not in ("rule_id", "campaign_id", "auto_message_id"):
            raise ValueError(by)
        self.env["sicantik.notification.queue"].flush_model([by, "state", "company_id"])
        waiting = WAITING if by == "campaign_id" else ""
        mine = "" if self.env.su else "AND (company_id IS NULL OR company_id = ANY(%(companies)s))"
        self.env.cr.execute(
            f"""
            SELECT {by}, state, count(*) FROM sicantik_notification_queue
             WHERE {by} = ANY(%(ids)s) {mine} GROUP BY 1, 2
         UNION ALL
            SELECT {by}, kind, sum(amount) FROM sicantik_notification_tally
             WHERE {by} = ANY(%(ids)s) AND kind <> ALL(%(other)s) {mine} GROUP BY 1, 2
            {waiting}
            """,
            {"ids": list(ids), "companies": self.env.companies.ids, "other": [EXECUTED, HELD_BACK]},
        )
        totals = Counter()
        for owner_id, state, amount in self.env.cr.fetchall():
            totals[owner_id, state] += int(amount)
        return totals

    @api.model
    def _executions(self, by, ids, kind=EXECUTED):
        """Read the executions of deleted rows of the journal.

        :param str by: `rule_id` or `trigger_id`
        :param list ids: ids of the owners
        :param str kind: `EXECUTED`, or `HELD_BACK` for what was left out
        :return: {owner's id: amount}, 0 for what is not there
        :rtype: Counter
        """
        groups = self._read_group([(by, "in", ids), ("kind", "=", kind)], [by], ["amount:sum"])
        return Counter({owner.id: amount for owner, amount in groups})
