"""What the active triggers want to know, kept in the cache of the registry.

From it a change is weighed without a query: whether it is one that a trigger is for, whether its condition
holds, and that of its rules. Only what comes to something is then done with the records of the trigger and
its rules. All of it is values, no records, as it outlives every environment.
"""

from dataclasses import dataclass

from odoo import models

from .sicantik_notification_evaluation import Event

# Fields that every write changes; they tell nothing.
MAGIC_FIELDS = {"write_date", "write_uid", "create_date", "create_uid", "__last_update"}


class Watch:
    """What the active triggers want to know of one model.

    :param frozenset sources: names of the stored fields whose change may concern a trigger
    :param tuple names: names of the fields whose values are compared
    :param bool created: whether new records concern a trigger
    :param bool everything: whether any written field concerns a trigger
    :param tuple plans: the Plan of each trigger, in their order
    """

    __slots__ = ("sources", "names", "created", "everything", "plans")

    def __init__(self, sources, names, created, everything, plans):
        self.sources = frozenset(sources)
        self.names = tuple(names)
        self.created = created
        self.everything = everything
        self.plans = tuple(plans)


class WatchMap(dict):
    """{model name: Watch}. A class of its own because a plain dict cannot be referred to weakly."""


@dataclass(frozen=True)
class Plan:
    """What one trigger makes of a change.

    :param int id: of the trigger
    :param str code: its code
    :param str type: its `trigger_type`
    :param str field: name of the field whose value is compared, None for types that watch none in particular
    :param state_from: frozenset of states as text, None for any
    :param state_to: as `state_from`
    :param condition: from `_condition` of the evaluation
    :param tuple rules: (id, condition as above) of the active rules, in their order
    """

    id: int
    code: str
    type: str
    field: str
    state_from: frozenset
    state_to: frozenset
    condition: object
    rules: tuple

    def events(self, records, notes):
        """Give what the net change of records is to this trigger.

        :param records: existing records of the model, in superuser mode
        :param Notes notes: what the transaction found
        :return: {record id: Event} of those that it fires for
        :rtype: dict
        """
        created = notes.created.get(records._name, ())
        if self.type == "on_create":
            event = Event(f"create:{notes.token}")
            return {id_: event for id_ in records._ids if id_ in created}
        baseline = notes.baseline.get(records._name, {})
        if self.type == "on_write":
            # What this transaction has created is new, not updated, however often it was written since.
            records = records.browse(id_ for id_ in records._ids if id_ not in created)
        changed = {}
        for name in self.needs(records, notes):
            known = records.browse(id_ for id_ in records._ids if name in baseline.get(id_, ()))
            for id_, new in zip(known._ids, comparables(known, name), strict=True):
                old = baseline[id_][name]
                if old != new and self._is_for(old, new):
                    changed.setdefault(id_, {})[name] = (old, new)
        if self.type == "on_write":
            return {id_: Event(f"write:{notes.token}", changed=changes) for id_, changes in changed.items()}
        events = {}
        for id_, changes in changed.items():
            old, new = changes[self.field]
            events[id_] = Event(f"{old}>{new}:{notes.token}", old, new, changes)
        return events

    def needs(self, records, notes):
        """Name the fields that `events` reads."""
        if self.type == "on_write":
            baseline = notes.baseline.get(records._name, {})
            return set().union(*(baseline.get(id_, ()) for id_ in records._ids)) - MAGIC_FIELDS
        return {self.field} if self.field else set()

    def _is_for(self, old, new):
        return self.type != "on_state_change" or is_transition(self.state_from, self.state_to, old, new)


def states(text):
    """Read a list of states separated by commas.

    :rtype: frozenset, None for any state
    """
    return frozenset(state.strip() for state in text.split(",")) if (text or "").strip() else None


def is_transition(state_from, state_to, old, new):
    """Tell whether a change of state is one of those wanted; None is a state that is not known.

    :param state_from: from `states`
    :param state_to: from `states`
    """
    return all(
        value is None or wanted is None or str(value or "") in wanted
        for wanted, value in ((state_from, old), (state_to, new))
    )


def comparables(records, name):
    """Give the values of a field in a form that can be compared and kept: ids instead of records.

    :return: list in the order of the records
    """
    field = records._fields[name]
    if field.type == "binary":
        # Never equal: they are too dear to read, so one that is written counts as changed.
        return [object() for _record in records]
    if field.translate or not field.store:
        # In one language for both sides of a comparison, whoever writes and whoever comes first.
        records = records.with_context(lang=None)
    if field.type in ("one2many", "many2many"):
        return [tuple(record[name].ids) for record in records]
    if field.type == "many2one":
        return [record[name].id for record in records]
    if field.type in ("reference", "many2one_reference"):
        return [_reference(record[name]) for record in records]
    return records.mapped(name)


def _reference(value):
    return f"{value._name},{value.id}" if isinstance(value, models.BaseModel) else value
