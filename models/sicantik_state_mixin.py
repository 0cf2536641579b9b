from odoo import _, api, models
from odoo.exceptions import UserError

from ..compat import check_access


class SicantikStateMixin(models.AbstractModel):
    """The buttons of permits and documents that move their `state`, and the columns of their kanban.

    A button is a method that calls `_move_to`. The status bar writes `state` itself and may go anywhere: it
    is how mistakes are mended.
    """

    _name = "sicantik.state.mixin"
    _description = "Buttons That Move a State"

    # States that have a column in the kanban also when nothing is in them.
    _usual_states = ()

    def _move_to(self, state, *sources):
        """Move records to a state.

        :param str state: where to
        :param sources: the states from which the button leads there
        :raise AccessError: the user may not write them
        :raise UserError: one of them is in another state; nothing is moved then
        """
        check_access(self, "write")
        labels = dict(self._fields["state"]._description_selection(self.env))
        for record in self:
            if record.state not in sources:
                raise UserError(
                    _(
                        "“%(record)s” is in the status %(state)s, from which it cannot become %(new)s here. "
                        "Open it and choose the status yourself if that is what you want.",
                        record=record.display_name,
                        state=labels[record.state],
                        new=labels[state],
                    )
                )
        return self.write({"state": state})

    @api.model
    def _expand_states(self, values, domain, order=None):
        """Give the columns of the kanban: the usual states, and those in which there is something."""
        shown = {*self._usual_states, *values}
        return [state for state in self._fields["state"].get_values(self.env) if state in shown]
