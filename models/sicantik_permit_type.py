from odoo import fields, models


class SicantikPermitType(models.Model):
    _name = "sicantik.permit.type"
    _description = "Permit Type"
    _order = "name, id"

    name = fields.Char(required=True)
    code = fields.Char(index="btree_not_null", copy=False)

    _sql_constraints = [
        ("code_unique", "UNIQUE (code)", "Another permit type has this code already."),
    ]
