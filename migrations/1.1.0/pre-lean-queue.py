"""The queue keeps what a message is about in `res_model` and `res_id` alone, not who wrote a row, and has no
foreign keys for rule, campaign and company (`UncheckedMany2one`), nor an index on the rule."""

QUEUE = "sicantik_notification_queue"
GONE = ("permit_id", "document_id", "create_uid", "write_uid", "lease_token")
UNCHECKED = ("rule_id", "campaign_id", "company_id")


def migrate(cr, version):
    cr.execute(
        "SELECT 1 FROM information_schema.columns WHERE table_name = %s AND column_name = 'permit_id'",
        [QUEUE],
    )
    if cr.fetchone():
        # Messages that were written by hand know their record by these columns only.
        cr.execute(
            f"""
            UPDATE {QUEUE}
               SET res_model = CASE WHEN document_id IS NULL THEN 'sicantik.permit'
                                    ELSE 'sicantik.document' END,
                   res_id = COALESCE(document_id, permit_id)
             WHERE res_model IS NULL AND COALESCE(document_id, permit_id) IS NOT NULL
            """
        )
    for column in GONE:
        cr.execute(f"ALTER TABLE {QUEUE} DROP COLUMN IF EXISTS {column}")
    for column in UNCHECKED:
        cr.execute(f"ALTER TABLE {QUEUE} DROP CONSTRAINT IF EXISTS {QUEUE}_{column}_fkey")
    for index in (f"{QUEUE}__rule_id_index", f"{QUEUE}_leased"):
        cr.execute(f"DROP INDEX IF EXISTS {index}")
    cr.execute(f"UPDATE {QUEUE} SET priority = 5 WHERE priority IS NULL")
    cr.execute(
        "DELETE FROM ir_model_constraint WHERE type = 'f' AND name = ANY(%s)",
        [[f"{QUEUE}_{column}_fkey" for column in (*GONE, *UNCHECKED)]],
    )
