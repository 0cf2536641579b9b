from datetime import timedelta

from odoo import api, fields, models

from .limits import DAY, moment_of, seconds


class SicantikWhatsappPair(models.Model):
    """Whom a Meta number has written to lately: for its limit per recipient and for its messaging tier.

    Meta takes about one message in six seconds to one number, and counts the people to whom a business
    writes first within 24 hours (providers.md 1.6). Rows older than that mean nothing any more.
    """

    _name = "sicantik.whatsapp.pair"
    _description = "WhatsApp Pair"
    _log_access = False
    _rec_name = "phone"

    provider_id = fields.Many2one("sicantik.whatsapp.provider", required=True, ondelete="cascade")
    phone = fields.Char(required=True)
    last_date = fields.Datetime(help="The last message.")
    opened_date = fields.Datetime(help="The last message outside a service window.")

    _sql_constraints = [
        ("pair_unique", "UNIQUE (provider_id, phone)", "There is one row per provider and number.")
    ]

    @api.model
    def _read_pairs(self, jobs, senders):
        """Read when senders wrote to the numbers of jobs.

        :return: {(provider id, phone): (last message, last one outside a window)} in seconds since 1970
        :rtype: dict
        """
        ids = [sender.id for sender in senders if sender.provider_type == "meta"]
        if not ids:
            return {}
        self.env.cr.execute(
            """
            SELECT provider_id, phone, last_date, opened_date FROM sicantik_whatsapp_pair
             WHERE provider_id = ANY(%s) AND phone = ANY(%s)
            """,
            [ids, list({job.row.phone for job in jobs})],
            log_exceptions=False,  # the server would log the numbers
        )
        return {
            (id_, phone): (seconds(last), seconds(opened))
            for id_, phone, last, opened in self.env.cr.fetchall()
        }

    @api.model
    def _reached(self, senders, now):
        """Count the people whom senders with a messaging limit wrote to first within a day.

        :return: {provider id: (count, when the first of them is forgotten, in seconds since 1970)}
        :rtype: dict
        """
        ids = [sender.id for sender in senders if sender.messaging_limit > 0]
        if not ids:
            return {}
        self.env.cr.execute(
            """
            SELECT provider_id, count(*), min(opened_date) FROM sicantik_whatsapp_pair
             WHERE provider_id = ANY(%s) AND opened_date > %s GROUP BY provider_id
            """,
            [ids, now - timedelta(seconds=DAY)],
        )
        return {id_: (count, seconds(first) + DAY) for id_, count, first in self.env.cr.fetchall()}

    @api.model
    def _note(self, pairs):
        """Write down whom senders write to now.

        :param dict pairs: as `_read_pairs` returns them
        """
        if pairs:
            rows = [
                (provider_id, phone, moment_of(last), moment_of(opened))
                for (provider_id, phone), (last, opened) in sorted(pairs.items())
            ]
            self.env.cr.execute(
                """
                INSERT INTO sicantik_whatsapp_pair (provider_id, phone, last_date, opened_date)
                SELECT * FROM unnest(%s, %s, %s::timestamp[], %s::timestamp[])
                ON CONFLICT (provider_id, phone)
                DO UPDATE SET last_date = excluded.last_date, opened_date = excluded.opened_date
                """,
                [list(column) for column in zip(*rows, strict=True)],
                log_exceptions=False,  # the server would log the numbers
            )
            self.invalidate_model()
