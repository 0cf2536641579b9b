from odoo import api, fields, models
from odoo.tools import SQL


class SicantikNotificationMoment(models.Model):
    """The memory of triggers of the type `on_time`: which record, offset and date value has fired.

    The unique index decides that each of them fires once, whoever looks, however often, and whether or not
    there are queue rows of it. When the date of a record is moved it is another moment, which fires again.
    The cleanup deletes moments that are long past.
    """

    _name = "sicantik.notification.moment"
    _description = "Notification Moment"
    _log_access = False

    trigger_id = fields.Many2one("sicantik.notification.trigger", required=True, ondelete="cascade")
    res_id = fields.Integer(string="Record ID", required=True)
    offset_minutes = fields.Integer(required=True)
    date_value = fields.Datetime(required=True, help="Of a date: its midnight, in no time zone.")

    _sql_constraints = [
        (
            "once",
            "UNIQUE (trigger_id, offset_minutes, res_id, date_value)",
            "This has fired already.",
        ),
    ]

    @api.model
    def _remember(self, trigger, offset, values):
        """Note that records fire now.

        :param trigger: the trigger
        :param int offset: minutes
        :param dict values: {record id: its date or datetime}
        :return: ids of those that have not fired before; another transaction that notes the same is waited
            for
        :rtype: set
        """
        ids = sorted(values)  # in one order, so that two of us cannot wait for each other
        self.env.cr.execute(
            """
            INSERT INTO sicantik_notification_moment (trigger_id, offset_minutes, res_id, date_value)
                 SELECT %s, %s, res_id, date_value
                   FROM unnest(%s::integer[], %s::timestamp[]) AS given (res_id, date_value)
            ON CONFLICT DO NOTHING
              RETURNING res_id
            """,
            [trigger.id, offset, ids, [values[id_] for id_ in ids]],
        )
        return {id_ for (id_,) in self.env.cr.fetchall()}

    @api.model
    def _not_fired(self, trigger, offset, alias, column):
        """Give the condition of a row of the trigger's table that it has not fired for its date.

        :param str alias: of the table in the query
        :param str column: of the date
        :rtype: SQL
        """
        return SQL(
            """
            NOT EXISTS (SELECT 1 FROM sicantik_notification_moment AS moment
                         WHERE moment.trigger_id = %s AND moment.offset_minutes = %s
                           AND moment.res_id = %s AND moment.date_value = %s)
            """,
            trigger.id,
            offset,
            SQL.identifier(alias, "id"),
            SQL.identifier(alias, column),
        )
