"""The default mapping: what a template's parameters are when a rule has no code of its own (contract,
section 7).
"""

from datetime import date, datetime

from dateutil.relativedelta import relativedelta

from odoo import _, api, fields, models

DATE_FORMAT = "%d-%m-%Y"
OWN_MODELS = ("sicantik.permit", "sicantik.document")
DATETIME_FORMAT = "%d-%m-%Y %H:%M"
# What is read of every record and recipient anyway, so that it is all that is fetched of a thousand of them.
READ = [
    *("company_id", "partner_id", "permit_id", "applicant_name", "permit_type_name", "permit_number"),
    *("registration_id", "issue_date", "expiry_date", "state"),
]
READ_OF_PARTNERS = ["name", "whatsapp_e164", "tz"]


class SicantikNotificationContext(models.AbstractModel):
    """Fills the parameters of the shipped templates from permits and documents.

    A parameter `x` is given by the method `_value_x` of Subject when there is one, else by the field `x` of
    the record: so templates for other models find their parameters too when they are called like fields.
    """

    _name = "sicantik.notification.context"
    _description = "Default Values of Template Parameters"

    @api.model
    def _for_templates(self, templates, records):
        """Give the function that fills the parameters of the forms of a text (the plain one, Meta's).

        :param templates: master templates; when empty, nothing is filled
        :param records: the records that the messages are about, in superuser mode
        :return: function (record, partner, event) → {parameter: text}; what is not known is left out
        :rtype: callable
        """
        names = list(dict.fromkeys(name for one in templates for name in one._parameter_names()))
        builder = self.with_context(lang=self._odoo_language(templates[:1].language)).sudo()
        waiting = builder._count_waiting(records) if "jumlah" in names else {}
        labels = {}
        getters = [(name, Subject.getter(name, records)) for name in names]

        def fill(record, partner, event):
            subject = Subject(builder.env, record, partner, event, waiting, labels)
            values = ((name, get(subject)) for name, get in getters)
            return {name: value for name, value in values if value is not None}

        return fill

    @api.model
    def _fetch(self, records):
        """Read from the database what the parameters of most templates need, and no other column.

        :param records: the records that messages are about
        """
        records.fetch([name for name in READ if name in records._fields])
        if records._name != "sicantik.permit" and "permit_id" in records._fields:
            permits = records.permit_id
            permits.fetch([name for name in READ if name in permits._fields])

    @api.model
    def _odoo_language(self, code):
        """Give the installed language of Odoo for a template's language (`id` → `id_ID`)."""
        installed = [lang for lang, _name in self.env["res.lang"].get_installed()]
        wanted = code or ""
        for lang in installed:
            if lang == wanted or lang.split("_")[0] == wanted.split("_")[0]:
                return lang
        return self.env.lang

    @api.model
    def _count_waiting(self, records):
        """Count the documents that wait for a signature: {company: count}, one query for all."""
        documents = self.env["sicantik.document"]
        return dict(documents._read_group([("state", "=", "pending_signature")], ["company_id"], ["__count"]))


class Subject:
    """One record and one recipient, asked for parameter values. Every value is a text, or None when
    unknown.
    """

    def __init__(self, env, record, partner, event, waiting, labels):
        self.env = env
        self.record = record.with_env(env)
        self.partner = partner.with_env(env)
        self.event = event
        self.waiting = waiting
        self.labels = labels
        self.permit = self._permit()

    @property
    def company(self):
        return (self._field("company_id") or self.env.company) if self.record else self.env.company

    def _permit(self):
        if self.record._name == "sicantik.permit":
            return self.record
        permit = self._field("permit_id")
        return permit if permit is not None else self.env["sicantik.permit"]

    def _field(self, name):
        return self.record[name] if name in self.record._fields else None

    @classmethod
    def getter(cls, name, records):
        """Give the function that asks a Subject for a parameter.

        :param str name: the parameter
        :param records: recordset of the model that the messages are about
        :return: function (Subject) → text, or None when there is none
        :rtype: callable
        """
        method = getattr(cls, f"_value_{name}", None)
        if method and records._name in OWN_MODELS:
            # Of a permit or document the shipped parameters are all known, if only to be empty.
            return lambda subject: method(subject) or ""
        if method:
            return method
        field = records._fields.get(name)
        # What only some groups may see does not go out because a parameter happens to be called like it.
        if field is None or field.groups:
            return lambda subject: None
        return lambda subject: subject._shown(subject.record, name)

    def _shown(self, record, name):
        """Show a field as people write it: dates dd-mm-yyyy, states and records by their names."""
        value = record[name]
        if isinstance(value, models.BaseModel):
            return ", ".join(value.mapped("display_name"))
        if record._fields[name].type == "selection":
            return self._label(record, name, value)
        if isinstance(value, datetime):
            return self._local(value).strftime(DATETIME_FORMAT)
        if isinstance(value, date):
            return value.strftime(DATE_FORMAT)
        return "" if value is False or value is None else str(value)

    def _label(self, record, name, value):
        field = record._fields[name]
        if field not in self.labels:
            self.labels[field] = dict(field._description_selection(self.env))
        return self.labels[field].get(value, value or "")

    def _local(self, moment):
        zone = self.company.partner_id.tz or self.env.user.tz or "Asia/Jakarta"
        return fields.Datetime.context_timestamp(self.record.with_context(tz=zone), moment)

    def _link(self, path, record):
        base = self.env["ir.config_parameter"].get_param("web.base.url", "")
        number = record.registration_id if record and "registration_id" in record._fields else ""
        return f"{base}/{path}/{number}" if number else base

    def _form_link(self):
        base = self.env["ir.config_parameter"].get_param("web.base.url", "")
        return f"{base}/web#id={self.record.id}&model={self.record._name}&view_type=form"

    # Who
    def _value_partner_name(self):
        applicant = self._field("partner_id")
        name = self.permit.applicant_name if self.permit else ""
        own = not applicant or applicant == self.partner
        return (name if own and name else self.partner.name) or ""

    def _value_applicant_name(self):
        applicant = self._field("partner_id")
        return (self.permit.applicant_name or (applicant.name if applicant else self.partner.name)) or ""

    _value_nama_pemohon = _value_applicant_name

    def _value_nama_pejabat(self):
        return self.partner.name or ""

    # Which permit
    def _value_permit_type(self):
        return self.permit.permit_type_name or "" if self.permit else None

    _value_jenis_izin = _value_permit_type

    def _value_permit_number(self):
        return self.permit.permit_number or self.permit.registration_id or "" if self.permit else None

    _value_permit_number_new = _value_permit_number

    def _value_registration_id(self):
        return self.permit.registration_id or "" if self.permit else None

    _value_pendaftaran_id = _value_registration_id

    # Status
    def _state(self):
        return "state" if "state" in self.record._fields else None

    def _value_status(self):
        return self._shown(self.record, "state") if self._state() else None

    def _value_status_lama(self):
        return self._label(self.record, "state", self.event.old_state) if self._state() else None

    def _value_status_baru(self):
        if not self._state():
            return None
        return self._label(self.record, "state", self.event.new_state or self.record.state)

    def _value_timestamp(self):
        return self._local(fields.Datetime.now()).strftime(DATETIME_FORMAT)

    # Dates
    def _value_issue_date(self):
        return self._shown(self.permit, "issue_date") if self.permit else None

    _value_start_date = _value_issue_date

    def _value_expiry_date(self):
        return self._shown(self.permit, "expiry_date") if self.permit else None

    def _value_remaining_days(self):
        return str(self.permit.days_until_expiry) if self.permit else None

    def _value_validity_period(self):
        if not self.permit:
            return None
        start, end = self.permit.issue_date, self.permit.expiry_date
        if not start or not end:
            return ""
        span = relativedelta(end + relativedelta(days=1), start)
        return self._duration(years=span.years, months=span.months, days=span.days if not span.years else 0)

    def _value_waktu_pending(self):
        since = self._field("pending_since")
        if not since:
            return None
        span = fields.Datetime.now() - since
        return self._duration(days=span.days, hours=span.seconds // 3600) or self._duration(hours=1)

    def _duration(self, years=0, months=0, days=0, hours=0):
        """Say a span of time in the template's language; empty when it is zero."""
        said = (
            years and _("%s year(s)", years),
            months and _("%s month(s)", months),
            days and _("%s day(s)", days),
            hours and _("%s hour(s)", hours),
        )
        return " ".join(part for part in said if part)

    # How many
    def _value_jumlah(self):
        return str(self.waiting.get(self.company, 0))

    # Where
    def _value_download_link(self):
        return self._link("download", self.permit)

    def _value_renewal_link(self):
        return self._link("renewal", self.permit)

    def _value_detail_link(self):
        return self._link("permit", self.permit)

    def _value_approval_link(self):
        return self._form_link()

    def _value_link_dashboard(self):
        return f"{self.env['ir.config_parameter'].get_param('web.base.url', '')}/web"

    def _value_contact_dpmptsp(self):
        return self.company.phone or self.company.email or self.company.name
