from odoo import api, fields, models


class SicantikNotificationUsage(models.Model):
    """How many messages a limited rule or provider has sent when: the memory of sliding windows.

    One row per subject and bucket (a 3600th of the window's period). Subjects that begin with `line:` are
    the places that waiting messages have been given.
    """

    _name = "sicantik.notification.usage"
    _description = "Notification Usage"
    _log_access = False
    _rec_name = "subject"

    subject = fields.Char(required=True)
    bucket = fields.Datetime(required=True)
    count = fields.Integer()

    _sql_constraints = [
        ("bucket_unique", "UNIQUE (subject, bucket)", "There is one row per subject and bucket.")
    ]

    @api.model
    def _add(self, counts):
        """Count what was sent or planned.

        :param list counts: (subject, bucket, count)
        """
        if counts:
            self.env.cr.execute(
                """
                INSERT INTO sicantik_notification_usage (subject, bucket, count)
                SELECT * FROM unnest(%s, %s::timestamp[], %s)
                ON CONFLICT (subject, bucket)
                DO UPDATE SET count = sicantik_notification_usage.count + excluded.count
                """,
                [list(column) for column in zip(*counts, strict=True)],
            )
            self.invalidate_model()
