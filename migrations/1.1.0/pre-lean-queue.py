"""The queue has another shape.

What a message is about is in `res_model` and `res_id` alone, who wrote a row is not kept, and rule, campaign
and company have no foreign keys (`models/unchecked.py`).
"""

from odoo.tools import SQL

QUEUE = "sicantik_notification_queue"
GONE = ("permit_id", "document_id", "create_uid", "write_uid", "lease_token")
UNCHECKED = ("rule_id", "campaign_id", "company_id")
INDEXES = ("sicantik_notification_queue__rule_id_index", "sicantik_notification_queue_leased")


def migrate(cr, version):
    cr.execute(
        "SELECT 1 FROM information_schema.columns WHERE table_name = %s AND column_name = 'permit_id'",
        [QUEUE],
    )
    if cr.fetchone():
        # Messages that were written by hand know their record by these columns only.
        cr.execute(
            """
            UPDATE sicantik_notification_queue
               SET res_model = CASE WHEN document_id IS NULL THEN 'sicantik.permit'
                                    ELSE 'sicantik.document' END,
                   res_id = COALESCE(document_id, permit_id)
             WHERE res_model IS NULL AND COALESCE(document_id, permit_id) IS NOT NULL
            """
        )
    cr.execute("UPDATE sicantik_notification_queue SET priority = 5 WHERE priority IS NULL")
    # Whoever was sending has stopped with the server: the first drain settles these.
    cr.execute("ALTER TABLE sicantik_notification_queue ADD COLUMN IF NOT EXISTS worker integer")
    cr.execute("UPDATE sicantik_notification_queue SET worker = 0 WHERE state = 'processing'")
    table = SQL.identifier(QUEUE)
    for column in GONE:
        cr.execute(SQL("ALTER TABLE %s DROP COLUMN IF EXISTS %s", table, SQL.identifier(column)))
    for column in UNCHECKED:
        key = SQL.identifier(f"{QUEUE}_{column}_fkey")
        cr.execute(SQL("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", table, key))
    for index in INDEXES:
        cr.execute(SQL("DROP INDEX IF EXISTS %s", SQL.identifier(index)))
    cr.execute(
        "DELETE FROM ir_model_constraint WHERE type = 'f' AND name = ANY(%s)",
        [[f"{QUEUE}_{column}_fkey" for column in (*GONE, *UNCHECKED)]],
    )
