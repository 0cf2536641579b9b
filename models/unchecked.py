"""References whose foreign key would cost more than it is worth."""

from odoo import fields
from odoo.tools import SQL

FORGET = """
    CREATE OR REPLACE FUNCTION sicantik_forget_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        -- The table is gone when the addon is; the triggers on other tables than its own are not.
        IF to_regclass(quote_ident(TG_ARGV[0])) IS NOT NULL THEN
            EXECUTE format('UPDATE %1$I SET %2$I = NULL WHERE %2$I = ANY(ARRAY(SELECT id FROM gone))',
                           TG_ARGV[0], TG_ARGV[1]);
        END IF;
        RETURN NULL;
    END $$
"""


class UncheckedMany2one(fields.Many2one):
    """A Many2one without a foreign key, for tables that are written in bulk: to check one key costs as much
    as to write half a row with all its indexes.

    A trigger on the other table empties the column when records there are deleted, by whatever statement.
    What a foreign key does besides has to be had otherwise: nobody may write the id of a record that is not
    there, nor of one that another transaction is deleting.
    """

    def update_db_foreign_key(self, model, column):
        """Make the trigger in place of the key."""
        cr, table = model.env.cr, model.env[self.comodel_name]._table
        name = f"{model._table}_{self.name}_forget"
        cr.execute(
            "SELECT 1 FROM pg_trigger WHERE tgname = %s AND tgrelid = %s::regclass", [name, f'"{table}"']
        )
        if cr.fetchone():
            return
        cr.execute(FORGET)
        cr.execute(
            SQL(
                """
                CREATE TRIGGER %s AFTER DELETE ON %s REFERENCING OLD TABLE AS gone
                  FOR EACH STATEMENT EXECUTE FUNCTION sicantik_forget_deleted(%s, %s)
                """,
                SQL.identifier(name),
                SQL.identifier(table),
                model._table,
                self.name,
            )
        )
