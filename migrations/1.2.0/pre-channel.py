"""Messages have a channel.

Added here with its default, which PostgreSQL does without writing a single row; Odoo would write them all.
"""

from odoo.tools import SQL

TABLES = ("sicantik_notification_queue", "sicantik_notification_log")


def migrate(cr, version):
    for table in TABLES:
        cr.execute(
            SQL(
                "ALTER TABLE %s ADD COLUMN IF NOT EXISTS channel varchar NOT NULL DEFAULT 'whatsapp'",
                SQL.identifier(table),
            )
        )
