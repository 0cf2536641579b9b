"""Capture: what changes on watched models is noted in the transaction and evaluated as its net change.

Odoo runs the precommit hooks at the commit, and also at every savepoint and explicit flush. So the hook may
see a change that the same transaction takes back later. Two kinds of notes make up for it:

* `cr.precommit.data` holds which records were touched since the hook ran last. A rollback to a savepoint
  forgets it together with the changes.
* `cr.postcommit.data` lives exactly as long as the transaction. It holds the values that the transaction
  found (a rollback to a savepoint cannot make them wrong) and what was announced so far (rows that a rollback
  removed are looked up before anything is done with them, so that the notes may name too many, never too
  few).

Each run of the hook withdraws what was announced for the touched records and evaluates them anew. Whatever
run comes last, at the commit, leaves what belongs to the net change.
"""

import logging
import secrets
from dataclasses import dataclass, field

import psycopg2

from odoo import api, models

from .sicantik_notification_evaluation import KEY
from .watch import comparables

_logger = logging.getLogger(__name__)


@dataclass
class Notes:
    """What one transaction has seen and announced.

    `token` stands for the transaction in event keys. `baseline` is {model: {id: {field: value found}}},
    `created` {model: {ids}}, `announced` {(trigger id, record id): ([queue ids], [execution ids])}, `called`
    {(trigger id, event key): {record id: execution id}} of events that a program told of by itself. While
    `evaluating`, nothing is noted: what a rule's own code changes announces nothing, or it could go on for
    ever.
    """

    token: str = field(default_factory=lambda: secrets.token_hex(8))
    baseline: dict = field(default_factory=dict)
    created: dict = field(default_factory=dict)
    announced: dict = field(default_factory=dict)
    called: dict = field(default_factory=dict)
    evaluating: bool = False

    @classmethod
    def of(cls, cr):
        """Give the notes of the transaction of `cr`, new ones at its first change."""
        return cr.postcommit.data.get(KEY) or cr.postcommit.data.setdefault(KEY, cls())

    def announcement(self, trigger_id, record_id):
        """Give the ids of queue rows and of journal rows that a trigger has led to; append more to them."""
        return self.announced.setdefault((trigger_id, record_id), ([], []))


class Base(models.AbstractModel):
    _inherit = "base"

    @api.model_create_multi
    def create(self, vals_list):
        records = super().create(vals_list)
        watch = self._notification_watch()
        if watch is not None:
            records._notification_note_created(watch)
        return records

    def write(self, vals):
        watch = self._notification_watch()
        if watch is not None:
            self._notification_note_change(watch, vals)
        return super().write(vals)

    def unlink(self):
        watch = self._notification_watch()
        result = super().unlink()
        if watch is not None:
            self._notification_note_gone()
        return result

    def _compute_field_value(self, field):
        if field.store:
            watch = self._notification_watch()
            if watch is not None:
                self.filtered("id")._notification_note_change(
                    watch, [computed.name for computed in self.pool.field_computed[field]]
                )
        return super()._compute_field_value(field)

    def _notification_watch(self):
        """Give the Watch of this model, None when no active trigger watches it.

        The map is held by the cache of the registry alone. Here it is only referred to weakly: when the
        cache is cleared, in whatever way, the reference is dead and the map is asked for anew.
        """
        reference = self.pool.__dict__.get(KEY)
        watches = reference and reference()
        if watches is None:
            # Nothing is announced while modules are being installed or updated.
            if not self.pool.ready or "sicantik.notification.trigger" not in self.pool:
                return None
            watches = self.env["sicantik.notification.trigger"]._remember_watches()
        return watches.get(self._name)

    def _notification_note_created(self, watch):
        """Note new records: their values as created are what later changes are compared with."""
        notes = Notes.of(self.env.cr)
        if notes.evaluating:
            return
        notes.created.setdefault(self._name, set()).update(self._ids)
        # What was noted while `create` was at work is no value that the record ever had.
        for id_ in self._ids:
            notes.baseline.get(self._name, {}).pop(id_, None)
        self._notification_note_values(notes, watch.names)
        if watch.created:
            self._notification_touch(self._ids)

    def _notification_note_change(self, watch, written):
        """Note the values of watched fields before `written` fields (names) are changed."""
        notes = Notes.of(self.env.cr)
        if notes.evaluating or not self._ids:
            return
        known = notes.baseline.get(self._name, {})
        names = set()
        if not watch.sources.isdisjoint(written):
            names.update(watch.names)
        if watch.everything:
            names.update(name for name in written if name in self._fields)
        if names:
            self._notification_note_values(notes, names)
            self._notification_touch(self._ids)
        elif known or self._name in notes.created:
            # A record whose change is under way: what will be said of it may depend on this field too.
            self._notification_touch(self._notification_under_way(notes))

    def _notification_note_gone(self):
        """Note deleted records: what this transaction has announced of them will be taken back."""
        notes = Notes.of(self.env.cr)
        if not notes.evaluating:
            ids = self._notification_under_way(notes)
            if ids:
                self._notification_touch(ids, gone=True)

    def _notification_under_way(self, notes):
        """Give the ids of those records that this transaction has changed or created."""
        known, created = notes.baseline.get(self._name, ()), notes.created.get(self._name, ())
        return [id_ for id_ in self._ids if id_ in known or id_ in created]

    def _notification_note_values(self, notes, names):
        baseline = notes.baseline.setdefault(self._name, {})
        try:
            for name in names:
                unknown = self.browse(
                    id_ for id_ in self._ids if id_ and name not in baseline.get(id_, ())
                ).sudo()
                for id_, value in zip(unknown._ids, comparables(unknown, name), strict=True):
                    baseline.setdefault(id_, {})[name] = value
        except psycopg2.Error:
            raise
        except Exception:
            # The change itself matters more than its notification.
            _logger.warning(
                "Could not read the watched fields of %s before a change", self._name, exc_info=True
            )

    def _notification_touch(self, ids, gone=False):
        cr = self.env.cr
        touched = cr.precommit.data.get(KEY)
        if touched is None:
            touched = cr.precommit.data[KEY] = {}
            env = self.env(su=True, context=plain_context(self.env.context))
            cr.precommit.add(lambda: _evaluate(env))
        touched.setdefault(self._name, {}).update(dict.fromkeys(ids, gone))


def plain_context(context):
    """Keep what says how the user sees the world; drop defaults, filters and switches of the one call."""
    return {key: context[key] for key in ("lang", "tz", "allowed_company_ids") if key in context}


def _evaluate(env):
    """Precommit hook: evaluate what was touched. The notes are taken out first; user code may flush again."""
    env.flush_all()  # other hooks may have left recomputations, which may touch more
    touched = env.cr.precommit.data.pop(KEY, None)
    notes = Notes.of(env.cr)
    notes.evaluating = True
    try:
        for model_name, ids in (touched or {}).items():
            env["sicantik.notification.trigger"]._evaluate_changes(
                env[model_name].browse(ids), [id_ for id_, gone in ids.items() if gone], notes
            )
    finally:
        notes.evaluating = False
