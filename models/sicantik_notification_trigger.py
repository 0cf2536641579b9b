import re
import weakref
from secrets import token_hex

import psycopg2

from odoo import _, api, fields, models, tools
from odoo.exceptions import ValidationError

from ..compat import check_access
from .base import Notes
from .copying import with_free_names
from .sicantik_notification_evaluation import KEY, UNCOMMITTED, Event
from .watch import Plan, Watch, WatchMap, is_transition, states

# Types that capture serves; the others are called.
CHANGE_TYPES = ("on_create", "on_write", "on_state_change", "on_field_change")
CALLED_TYPES = ("manual", "api")
OWN_MODELS = ("sicantik.notification.", "sicantik.whatsapp.", "sicantik.auto.message")


class SicantikNotificationTrigger(models.Model):
    """Which event: notices it, and hands the records to its rules.

    `fire` and `_process_trigger` are the calls for other addons; capture (`base.py`) comes in through
    `_evaluate_changes`. All three end in `_fire`.
    """

    _name = "sicantik.notification.trigger"
    _description = "Notification Trigger"
    _inherit = "sicantik.notification.evaluation"
    _order = "sequence, id"

    name = fields.Char(string="Trigger Name", required=True, translate=True)
    code = fields.Char(
        string="Trigger Code",
        required=True,
        copy=False,
        help="Letters, digits and underscores; programs call it by this.",
    )
    active = fields.Boolean(default=True)
    sequence = fields.Integer(default=10)
    description = fields.Text(translate=True)
    model_id = fields.Many2one("ir.model", required=True, ondelete="cascade", index=True)
    model_name = fields.Char(related="model_id.model", string="Model Name", store=True)
    trigger_type = fields.Selection(
        [
            ("on_create", "When a Record Is Created"),
            ("on_write", "When a Record Is Updated"),
            ("on_state_change", "When the Status Changes"),
            ("on_field_change", "When a Field Changes"),
            ("cron", "Cron Schedule"),
            ("manual", "Manual"),
            ("api", "API Call"),
            ("on_time", "Relative to a Date"),
        ],
        required=True,
        default="on_state_change",
    )

    # What is watched
    field_to_watch = fields.Many2one(
        "ir.model.fields", ondelete="cascade", domain="[('model_id', '=', model_id)]"
    )
    state_field = fields.Char(string="Status Field", default="state")
    state_from = fields.Char(
        string="Status From", help="Empty: any. Several statuses are separated by commas."
    )
    state_to = fields.Char(string="Status To", help="Empty: any. Several statuses are separated by commas.")
    condition_domain = fields.Char(help="Which records count, such as [('active', '=', True)]. Empty: all.")

    # When it is due: see `sicantik_notification_timetable.py`
    cron_interval_number = fields.Integer(string="Every", default=1)
    cron_interval_type = fields.Selection(
        [
            ("minutes", "Minutes"),
            ("hours", "Hours"),
            ("days", "Days"),
            ("weeks", "Weeks"),
            ("months", "Months"),
        ],
        string="Interval Unit",
        default="days",
    )
    date_field_id = fields.Many2one(
        "ir.model.fields",
        ondelete="cascade",
        domain="[('model_id', '=', model_id), ('ttype', 'in', ('date', 'datetime')), ('store', '=', True)]",
    )
    time_offsets = fields.Char(help="Before (-) or after the date: -90d,-60d,-30d,-7d or -1h.")
    tolerance_minutes = fields.Integer(
        string="Tolerance (minutes)",
        default=5,
        help="For offsets of less than a day from a time: the message leaves as soon as the moment is no "
        "more than this away, and not when it has passed by more than this (five minutes at least).",
    )

    # What came of it
    rule_ids = fields.One2many("sicantik.notification.rule", "trigger_id", string="Rules")
    rule_count = fields.Integer(compute="_compute_rule_count")
    execution_count = fields.Integer(
        string="Executions", compute="_compute_execution", help="How many records it fired for."
    )
    last_execution_date = fields.Datetime(string="Last Execution", compute="_compute_execution")
    last_error = fields.Text(compute="_compute_execution")

    _sql_constraints = [
        ("code_unique", "UNIQUE (code)", "Another trigger has this code already."),
    ]

    # === COMPUTES ===#

    def _compute_rule_count(self):
        counts = dict(
            self.env["sicantik.notification.rule"]._read_group(
                [("trigger_id", "in", self.ids)], ["trigger_id"], ["__count"]
            )
        )
        for trigger in self:
            trigger.rule_count = counts.get(trigger, 0)

    def _compute_execution(self):
        stats = (
            self.env["sicantik.notification.execution"]
            .sudo()
            ._statistics("trigger_id", self.ids, [("rule_id", "=", False)])
        )
        for trigger in self:
            (
                trigger.execution_count,
                trigger.last_execution_date,
                trigger.last_error,
            ) = stats.get(trigger.id, (0, False, False))

    # === CONSTRAINTS ===#

    @api.constrains("code")
    def _check_code(self):
        for trigger in self:
            if not re.fullmatch(r"[A-Za-z0-9_]+", trigger.code or ""):
                raise ValidationError(
                    _("The code “%s” may have letters, digits and underscores only.", trigger.code)
                )

    @api.constrains("model_id", "trigger_type", "state_field", "field_to_watch")
    def _check_watched(self):
        for trigger in self.filtered(lambda trigger: trigger.trigger_type in CHANGE_TYPES):
            if trigger.model_name.startswith(OWN_MODELS):
                raise ValidationError(
                    _(
                        "“%s” belongs to the notifications themselves. Choose another model.",
                        trigger.model_id.name,
                    )
                )
            trigger._check_watched_field()

    def _check_watched_field(self):
        name = self._watched_field()
        if name is False:
            return
        field = self.env[self.model_name]._fields.get(name) if self.model_name in self.env and name else None
        if field is None:
            raise ValidationError(
                _(
                    "“%(model)s” has no field “%(field)s”. Choose a field of this model.",
                    model=self.model_id.name,
                    field=name or "",
                )
            )
        if not self._sources(field):
            raise ValidationError(
                _(
                    "Changes of “%(field)s” cannot be noticed, because it is computed from other records and "
                    "not stored. Choose a stored field.",
                    field=name,
                )
            )

    @api.constrains("model_id", "trigger_type", "state_field", "state_from", "state_to")
    def _check_states(self):
        """Refuse a status that a selection does not have: the trigger would never fire."""
        for trigger in self.filtered(lambda trigger: trigger.trigger_type == "on_state_change"):
            field = self.env[trigger.model_name]._fields.get(trigger.state_field or "")
            if field is None or field.type != "selection":
                continue
            known = field.get_values(self.env)
            written = f"{trigger.state_from or ''},{trigger.state_to or ''}".split(",")
            unknown = [state.strip() for state in written if state.strip() and state.strip() not in known]
            if unknown:
                raise ValidationError(
                    _(
                        "There is no status “%(unknown)s”. Write one of: %(known)s.",
                        unknown=", ".join(unknown),
                        known=", ".join(known),
                    )
                )

    @api.ondelete(at_uninstall=False)
    def _unlink_except_campaigns(self):
        """Its rules go with it, which the database does without asking them."""
        rules = self.env["sicantik.notification.rule"].sudo().with_context(active_test=False)
        rules._check_no_campaigns(rules.search([("trigger_id", "in", self.ids)]))

    def _domains(self):
        return [*super()._domains(), (self.condition_domain, self.model_name, _("The condition"))]

    @api.constrains("condition_domain", "model_id")
    def _check_condition_domain(self):
        self._check_domains()

    # === WHAT IS WATCHED ===#

    def copy_data(self, default=None):
        return with_free_names(self, "code", super().copy_data(default), default)

    def _watched_field(self):
        """Name the field whose value is compared; False for a type that watches none in particular."""
        self.ensure_one()
        if self.trigger_type == "on_state_change":
            return self.state_field or None
        if self.trigger_type == "on_field_change":
            return self.field_to_watch.name or None
        return False

    @api.model
    def _sources(self, field):
        """Name the stored fields of the same model that a write must touch for `field` to change.

        A field that is stored is its own source; one that is not (`status` of permits) has those that it
        depends on in its own record. A field that depends on other records only has none.
        """
        if field.store:
            return {field.name}
        model = self.env[field.model_name]
        paths = [field.related] if field.related else self.pool.field_depends.get(field, ())
        names = {field.name}
        for path in paths:
            first, *rest = path.split(".") if isinstance(path, str) else path
            if rest or not model._fields[first].store:
                return set()
            names.add(first)
        return names if len(names) > 1 else set()

    @api.model
    @tools.ormcache()
    def _watches(self):
        """Give what capture needs to know: {model name: Watch} over all active triggers."""
        return self._read_watches()

    @api.model
    def _read_watches(self):
        triggers = self.sudo().with_context(active_test=True).search([("trigger_type", "in", CHANGE_TYPES)])
        by_model = {}
        for trigger in triggers:
            if trigger.model_name in self.env:
                by_model.setdefault(trigger.model_name, []).append(trigger)
        return WatchMap((model_name, self._watch(model_name, of)) for model_name, of in by_model.items())

    @api.model
    def _watch(self, model_name, triggers):
        plans = [trigger._plan() for trigger in triggers]
        known = self.env[model_name]._fields
        fields_ = [known[name] for name in sorted({plan.field for plan in plans if plan.field})]
        types = {plan.type for plan in plans}
        return Watch(
            set().union(*(self._sources(field) for field in fields_)),
            [field.name for field in fields_],
            "on_create" in types,
            "on_write" in types,
            plans,
        )

    def _plan(self):
        model = self.env[self.model_name]
        name = self._watched_field()
        return Plan(
            id=self.id,
            code=self.code,
            type=self.trigger_type,
            field=name if name and name in model._fields else None,
            state_from=states(self.state_from),
            state_to=states(self.state_to),
            condition=self._condition(self.condition_domain, model),
            rules=tuple(
                (rule.id, self._condition(rule.condition_domain, model)) for rule in self._active_rules()
            ),
        )

    def _active_rules(self):
        return self.rule_ids.filtered("active").sorted()

    @api.model
    def _remember_watches(self):
        """Give {model name: Watch} to capture, which looks at it again without asking.

        A transaction that has changed triggers or rules has a map of its own: what it has not committed is
        not for others to see.
        """
        own = self.env.cr.postcommit.data.get(UNCOMMITTED)
        if own is not None:
            if not own:
                own.append(self._read_watches())
            return own[0]
        watches = self._watches()
        setattr(self.pool, KEY, weakref.ref(watches))
        return watches

    # === CHANGES ===#

    @api.model
    def _evaluate_changes(self, records, gone, notes):
        """Announce the net change of records; what this transaction announced for them before is taken back.

        Called by capture only, in superuser mode, whenever Odoo runs the precommit hooks. A change that comes
        to nothing, as far as values alone can tell, costs no query; one that makes a trigger fire of which no
        rule has anything to say costs the one that writes the journal.

        :param records: recordset of one model; some may be gone
        :param list gone: ids of the records that are known to be deleted
        :param Notes notes: what the transaction found and announced
        """
        journal = []
        for plan in self._plans(records._name):
            journal += self._evaluate_plan(plan, records, set(gone), notes)
        ids = self.env["sicantik.notification.execution"]._write_rows([row for row, _ids in journal])
        for execution_id, (row, record_ids) in zip(ids, journal, strict=True):
            for record_id in record_ids if execution_id else ():
                notes.announcement(row["trigger_id"], record_id)[1].append(execution_id)

    @api.model
    def _plans(self, model_name):
        if UNCOMMITTED in self.env.cr.postcommit.data:
            # Anew: a rollback to a savepoint may have made wrong what this transaction remembers.
            watch = self._read_watches().get(model_name)
        else:
            watch = self._watches().get(model_name)
        return watch.plans if watch else ()

    @api.model
    def _evaluate_plan(self, plan, records, gone, notes):
        """Evaluate one trigger.

        :return: [(row of the journal, ids of the records that it fired for)]
        :rtype: list
        """
        rule_ids = None
        called = {key: told for (id_, key), told in notes.called.items() if id_ == plan.id}
        if not called and not any((plan.id, id_) in notes.announced for id_ in records._ids):
            records = records.browse(id_ for id_ in records._ids if id_ not in gone)
            outlook = self._outlook(plan, records, notes)
            if outlook is not None:
                fired, rule_ids = outlook
                if not fired:
                    return []
                if not rule_ids:
                    row = self.env["sicantik.notification.execution"]._row(self.browse(plan.id), fired)
                    return [(row, fired.ids)]
        # From here on as the database has it: the trigger may have been archived or deleted meanwhile.
        trigger = self.search([("id", "=", plan.id)])
        if not trigger:
            return []
        with trigger._fence(f"trigger {plan.code}") as failure:
            trigger._take_back(records, notes)
            existing = records.browse(id_ for id_ in records._ids if id_ not in gone).exists()
            events = plan.events(existing, notes)
            _result, made, rows = trigger._fire(existing.browse(events), events, rule_ids)
            for record_id, queue_ids in made.items():
                notes.announcement(plan.id, record_id)[0].extend(queue_ids)
            told = {id_: called.get(event.key, {}).get(id_) for id_, event in events.items()}
            rows = self._without_counted(rows, {id_: row_id for id_, row_id in told.items() if row_id})
            return [(row, list(events)) for row in rows]
        return [(self.env["sicantik.notification.execution"]._row(trigger, error=failure.error), [])]

    @api.model
    def _outlook(self, plan, records, notes):
        """Tell what will come of a change from values alone.

        :return: the records for which the trigger fires, the ids of the rules that may have something to say
            of them; None when it takes more than values
        :rtype: tuple
        """
        if not all(self._reads_plainly(records._fields[name]) for name in plan.needs(records, notes)):
            return None
        try:
            events = plan.events(records, notes)
            met = self._holding(plan.condition, records.browse(events), events)
            if met is None:
                return None
            return met, [id_ for id_, condition in plan.rules if self._may_hold(condition, met, events)]
        except psycopg2.Error:
            raise
        except Exception:
            return None  # inside the fence it will be said what is wrong

    @api.model
    def _may_hold(self, condition, records, events):
        holding = self._holding(condition, records, events)
        return holding is None or bool(holding)

    @api.model
    def _reads_plainly(self, field):
        """Tell whether reading a field runs nobody's code and no query that can fail."""
        if field.related and not field.store:
            return len(self._sources(field)) > 1
        return field.store

    def _take_back(self, records, notes):
        """Delete what this transaction queued for the records too early."""
        ids = [id_ for id_ in records.ids if (self.id, id_) in notes.announced]
        if not ids:
            return
        told = [notes.announced[self.id, id_] for id_ in ids]
        self.env["sicantik.notification.queue"]._take_back(
            [id_ for queue_ids, _ids in told for id_ in queue_ids]
        )
        self.env["sicantik.notification.execution"]._take_back(
            [id_ for _ids, ex_ids in told for id_ in ex_ids], ids
        )

    # === CALLS ===#

    @api.model
    def fire(self, code, records, values=None, event_key=None):
        """Fire a `manual` or `api` trigger.

        ::

            env["sicantik.notification.trigger"].fire("permit_inspected", permits, values={"officer": "Ani"})

        :param str code: code of the trigger
        :param records: recordset of the trigger's model; the caller must be allowed to read it
        :param dict values: template parameters that go before those of the rule
        :param str event_key: what makes this event the same one when it comes again; without it each call is
            a new event
        :return: `processed` (bool), `reason` when not, `trigger_id`, `rules_processed` (ids), `queue_ids`,
            `count`
        :rtype: dict
        :raise AccessError: the caller is no internal user, or may not read the records
        """
        return self._call(
            code, records, CALLED_TYPES, Event(event_key or self._new_key(), values=dict(values or {}))
        )

    @api.model
    def _process_trigger(self, code, records, old_state=None, new_state=None, values=None, event_key=None):
        """Tell a trigger of any type that its event happened to records.

        Capture does it for changes made through the ORM; this is for changes that it cannot see (SQL, another
        system). When capture has seen the same change in the same transaction, it is the same event, and
        queued once.

        ::

            env["sicantik.notification.trigger"]._process_trigger(
                "permit_state_change", permits, old_state="draft", new_state="approved"
            )

        :param str code: code of the trigger
        :param records: recordset of the trigger's model; the caller must be allowed to read it
        :param old_state: value of the watched field before; None when not known
        :param new_state: value of the watched field now
        :param dict values: template parameters that go before those of the rule
        :param str event_key: what makes this event the same one when it comes again
        :return: as `fire`
        :rtype: dict
        :raise AccessError: the caller is no internal user, or may not read the records
        """
        if not event_key and (old_state or new_state):
            event_key = f"{old_state}>{new_state}:{Notes.of(self.env.cr).token}"
        event = Event(event_key or self._new_key(), old_state, new_state, values=dict(values or {}))
        return self._call(code, records, None, event)

    @api.model
    def _call(self, code, records, types, event):
        self.env["sicantik.notification.access"]._check_internal()
        if not self.env.su:
            check_access(records.with_env(self.env), "read")
        trigger = (
            self.sudo()
            .with_context(active_test=False)
            .search([("code", "=", code)])
            .with_env(self.sudo().with_context(active_test=True).env)
        )
        reason = trigger._why_not(code, records, types, event)
        if reason:
            return trigger._result(reason=reason)
        records = records.sudo().with_context(active_test=True)
        journal = self.env["sicantik.notification.execution"].sudo()
        notes = Notes.of(self.env.cr)
        captured = event.key.endswith(notes.token)  # if it is a change that capture sees, too
        with trigger._fence(f"trigger {trigger.code}") as failure:
            result, _made, rows = trigger._fire(records, dict.fromkeys(records.ids, event))
            if captured:
                told = {id_: notes.announced.get((trigger.id, id_), ([], []))[1] for id_ in records.ids}
                rows = trigger._without_counted(rows, {id_: ids[-1] for id_, ids in told.items() if ids})
            ids = journal._write_rows(rows)
            if captured and ids:
                counted = dict.fromkeys(rows[0]["res_ids"], ids[0])
                notes.called.setdefault((trigger.id, event.key), {}).update(counted)
            return result
        journal._note(trigger, error=failure.error)
        return trigger._result(reason=failure.error)

    @api.model
    def _without_counted(self, rows, told):
        """Leave out of the journal what this transaction has in it already, unless that was rolled back.

        :param list[dict] rows: of the journal, still to be written
        :param dict told: {record id: id of the row that counts it}
        """
        if not told:
            return rows
        journal = self.env["sicantik.notification.execution"].sudo()
        there = set(journal.browse(set(told.values())).exists().ids)
        return journal._without(rows, [id_ for id_, row_id in told.items() if row_id in there])

    def _why_not(self, code, records, types, event):
        """Say why a call does not fire this trigger; None when it does."""
        if not self:
            return _("There is no trigger with the code “%s”.", code)
        if not self.active:
            return _("The trigger “%s” is archived.", code)
        if types and self.trigger_type not in types:
            return _("The trigger “%s” is neither manual nor an API call: it fires on its own.", code)
        if records._name != self.model_name:
            return _(
                "The trigger “%(code)s” is for %(model)s, not for %(other)s.",
                code=code,
                model=self.model_name,
                other=records._name,
            )
        if not records:
            return _("No record was given.")
        states_known = event.old_state is not None or event.new_state is not None
        if self.trigger_type == "on_state_change" and states_known:
            wanted = states(self.state_from), states(self.state_to)
            if not is_transition(*wanted, event.old_state, event.new_state):
                return _("The change is not one that the trigger is for.")
        return None

    @api.model
    def _new_key(self):
        return f"call:{token_hex(8)}"

    def _result(self, reason=None, **values):
        result = {
            "processed": not reason,
            "trigger_id": self.id,
            "rules_processed": [],
            "queue_ids": [],
            "count": 0,
            **values,
        }
        if reason:
            result["reason"] = reason
        return result

    def _fire(self, records, events, rule_ids=None):
        """Hand the records that meet the condition to the rules.

        :param records: recordset in superuser mode
        :param dict events: {record id: Event}
        :param list rule_ids: the rules that may have something to say, as far as that is known
        :return: the dict of `fire`, {record id: [ids of its queue rows]}, the rows for the journal, which are
            still to be written
        :rtype: tuple
        """
        journal = self.env["sicantik.notification.execution"]
        records = self._filter(self.condition_domain, records, events)
        if not records:
            return self._result(reason=_("No record meets the trigger's condition.")), {}, []
        rows = [journal._row(self, records)]
        made = {}
        rules = self._active_rules()
        for rule in rules:
            if rule_ids is not None and rule.id not in rule_ids:
                continue
            matched, queued, error, held_back = rule._apply(records, events)
            if matched or error:
                rows.append(journal._row(self, matched, rule, error, held_back))
            for record_id, ids in queued.items():
                made.setdefault(record_id, []).extend(ids)
        queue_ids = [id_ for ids in made.values() for id_ in ids]
        result = self._result(rules_processed=rules.ids, queue_ids=queue_ids, count=len(queue_ids))
        return result, made, rows
