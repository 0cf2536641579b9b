import re
import weakref
from secrets import token_hex

from odoo import _, api, fields, models, tools
from odoo.exceptions import ValidationError

from ..compat import check_access
from .base import KEY, Notes, Watch, WatchMap, comparable
from .copying import with_free_names
from .sicantik_notification_evaluation import Event

# Types that capture serves; the others are called.
CHANGE_TYPES = ("on_create", "on_write", "on_state_change", "on_field_change")
CALLED_TYPES = ("manual", "api")
OWN_MODELS = ("sicantik.notification.", "sicantik.whatsapp.", "sicantik.auto.message")
# Fields that every write changes; they tell nothing.
MAGIC_FIELDS = {"write_date", "write_uid", "create_date", "create_uid", "__last_update"}


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

    # When it is due
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
    next_run = fields.Datetime(copy=False)
    date_field_id = fields.Many2one(
        "ir.model.fields",
        ondelete="cascade",
        domain="[('model_id', '=', model_id), ('ttype', 'in', ('date', 'datetime'))]",
    )
    time_offsets = fields.Char(help="Before (-) or after the date: -90d,-60d,-30d,-7d or -1h.")
    tolerance_minutes = fields.Integer(default=5)

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

    def _domains(self):
        return [*super()._domains(), (self.condition_domain, self.model_name, _("The condition"))]

    @api.constrains("condition_domain", "model_id")
    def _check_condition_domain(self):
        self._check_domains()

    # === WHAT IS WATCHED ===#

    @api.model_create_multi
    def create(self, vals_list):
        triggers = super().create(vals_list)
        self._forget_watches()
        return triggers

    def write(self, vals):
        result = super().write(vals)
        self._forget_watches()
        return result

    def copy_data(self, default=None):
        return with_free_names(self, "code", super().copy_data(default), default)

    def unlink(self):
        result = super().unlink()
        self._forget_watches()
        return result

    @api.model
    def _forget_watches(self):
        """Make every process read the triggers anew, now and once more when this is committed.

        In between, an older transaction may fill the cache with what it sees, and a rollback to a savepoint
        may make wrong what this one has filled in.
        """
        self.env.flush_all()
        self.env.registry.clear_cache()
        self.env.cr.postcommit.add(self.env.registry.clear_cache)

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
        watched = {}
        for trigger in (
            self.sudo().with_context(active_test=True).search([("trigger_type", "in", CHANGE_TYPES)])
        ):
            if trigger.model_name not in self.env:
                continue
            wants = watched.setdefault(trigger.model_name, {"sources": set(), "names": set(), "types": set()})
            wants["types"].add(trigger.trigger_type)
            field = self.env[trigger.model_name]._fields.get(trigger._watched_field() or "")
            if field is not None:
                wants["names"].add(field.name)
                wants["sources"] |= self._sources(field)
        return WatchMap(
            (
                model_name,
                Watch(
                    wants["sources"],
                    sorted(wants["names"]),
                    "on_create" in wants["types"],
                    "on_write" in wants["types"],
                ),
            )
            for model_name, wants in watched.items()
        )

    @api.model
    def _remember_watches(self):
        watches = self._watches()
        setattr(self.pool, KEY, weakref.ref(watches))
        return watches

    # === CHANGES ===#

    @api.model
    def _evaluate_changes(self, records, notes):
        """Announce the net change of records; what this transaction announced for them before is taken back.

        Called by capture only, in superuser mode, whenever Odoo runs the precommit hooks.

        :param records: recordset of one model; some may be gone
        :param Notes notes: what the transaction found and announced
        """
        for trigger in self.search(
            [("model_name", "=", records._name), ("trigger_type", "in", CHANGE_TYPES)]
        ):
            with trigger._fence(f"trigger {trigger.code}") as failure:
                trigger._take_back(records, notes)
                existing = records.exists()
                events = {}
                for record in existing:
                    event = trigger._event_of(record, notes)
                    if event:
                        events[record.id] = event
                if events:
                    trigger._announce(existing.browse(events), events, notes)
            if failure.error:
                self.env["sicantik.notification.execution"]._note(trigger, error=failure.error)

    def _event_of(self, record, notes):
        """Give the Event that the net change of a record is to this trigger, None if it is none."""
        created = record.id in notes.created.get(record._name, ())
        baseline = notes.baseline.get(record._name, {}).get(record.id, {})
        if self.trigger_type == "on_create":
            return Event(f"create:{notes.token}") if created else None
        if self.trigger_type == "on_write":
            # What this transaction has created is new, not updated, however often it was written since.
            names = () if created else set(baseline) - MAGIC_FIELDS
        else:
            names = {self._watched_field()} & set(baseline)
        changed = {}
        for name in names:
            new = comparable(record, name)
            if baseline[name] != new:
                changed[name] = (baseline[name], new)
        if not changed:
            return None
        if self.trigger_type == "on_write":
            return Event(f"write:{notes.token}", changed=changed)
        ((old, new),) = changed.values()
        if self.trigger_type == "on_state_change" and not self._is_transition(old, new):
            return None
        return Event(f"{old}>{new}:{notes.token}", old, new, changed)

    def _is_transition(self, old, new):
        """Tell whether a change of state is one that this trigger is for; None is a state that is not
        known.
        """
        return all(
            value is None
            or not (wanted or "").strip()
            or str(value or "") in (state.strip() for state in wanted.split(","))
            for wanted, value in ((self.state_from, old), (self.state_to, new))
        )

    def _announce(self, records, events, notes):
        _result, made, executions = self._fire(records, events)
        for record_id in records.ids:
            queue_ids, execution_ids = notes.announced.setdefault((self.id, record_id), ([], []))
            queue_ids += made.get(record_id, ())
            execution_ids += executions.ids

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
        with trigger._fence(f"trigger {trigger.code}") as failure:
            return trigger._fire(records, dict.fromkeys(records.ids, event))[0]
        self.env["sicantik.notification.execution"].sudo()._note(trigger, error=failure.error)
        return trigger._result(reason=failure.error)

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
            if not self._is_transition(event.old_state, event.new_state):
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

    def _fire(self, records, events):
        """Hand the records that meet the condition to the rules.

        :param records: recordset in superuser mode
        :param dict events: {record id: Event}
        :return: the dict of `fire`, {record id: [ids of its queue rows]}, the rows of the journal
        :rtype: tuple
        """
        journal = self.env["sicantik.notification.execution"].sudo()
        records = self._filter(self.condition_domain, records, events)
        if not records:
            return self._result(reason=_("No record meets the trigger's condition.")), {}, journal
        executions = journal._note(self, records)
        made = {}
        rules = self.rule_ids.filtered("active").sorted()
        for rule in rules:
            matched, queued, error = rule._apply(records, events)
            executions |= journal._note(self, matched, rule, error)
            for record_id, ids in queued.items():
                made.setdefault(record_id, []).extend(ids)
        queue_ids = [id_ for ids in made.values() for id_ in ids]
        result = self._result(rules_processed=rules.ids, queue_ids=queue_ids, count=len(queue_ids))
        return result, made, executions
