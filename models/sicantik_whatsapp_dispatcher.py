import logging
import time
import traceback
from dataclasses import dataclass, field, replace

import psycopg2

from odoo import _, api, fields, models
from odoo.exceptions import UserError

from ..compat import check_access
from ..providers import (
    ACCEPTED,
    PROVIDERS,
    Message,
    MissingParameter,
    Route,
    Template,
    attempt,
    errors,
    goes_on,
    parameters,
)
from .road import Job, Refusal, Row, Wait
from .sicantik_whatsapp_template_master import META_PREFIX, USABLE_STATUSES
from .transaction import committed

_logger = logging.getLogger(__name__)

# Among providers of the same sequence (contract, section 7); Meta goes before all of them.
TIE_ORDER = ("fonnte", "watzap", "waha", "twilio")
# Seconds for which a caller who wants a message sent right now waits for a provider's pace.
HORIZON_NOW = 10.0
DEFAULT_PROVIDER = "sicantik_notification_automation.default_provider_id"


@dataclass(frozen=True, slots=True)
class Request:
    """One message for which ways are to be found."""

    key: int
    phone: str
    opted_in: bool
    window_open: bool
    company_id: int
    message_type: str = "template"
    template_key: str = ""
    body: str = ""
    context: dict = field(default_factory=dict)
    reference: str = ""
    without: int | None = None  # id of a provider that is not asked


@dataclass(frozen=True, slots=True)
class Text:
    """A master template as it is sent."""

    key: str
    name: str
    language: str
    parameters: tuple
    body: str
    at_meta: bool
    fonnte_variables: bool
    twilio_content_sid: str


@dataclass(frozen=True)
class Directory:
    """What ways are made of: the senders in the order in which they are tried, and the texts by key; and the
    policies of companies, which say whether a message may go them now.
    """

    senders: tuple
    texts: dict
    policies: dict = field(default_factory=dict)

    def find(self, key):
        """Tell whether a template exists under a key, with or without Meta's prefix."""
        plain = (key or "").removeprefix(META_PREFIX)
        return bool(plain and (plain in self.texts or META_PREFIX + plain in self.texts))

    def meta_text(self, key):
        """Give the text that Meta would be asked for: `meta_<key>` first, then the key itself."""
        plain = (key or "").removeprefix(META_PREFIX)
        for candidate in (META_PREFIX + plain, plain):
            text = self.texts.get(candidate)
            if text and text.at_meta:
                return text
        return None

    def plain_text(self, key):
        """Give the text that the other providers send: the one without the prefix."""
        return self.texts.get((key or "").removeprefix(META_PREFIX))


class SicantikWhatsappDispatcher(models.AbstractModel):
    """Which provider takes a message, in which form, and who is next if it refuses (seed 2, section 6).

    `_plan` decides for many messages at once and sends nothing: the drain delivers what it planned. The
    three public methods are for other addons that want one message decided or sent right now.
    """

    _name = "sicantik.whatsapp.dispatcher"
    _description = "WhatsApp Dispatcher"

    # === CALLS FOR OTHER ADDONS ===#

    @api.model
    def determine_provider(self, partner_id, permit_id=None, template_key=None):
        """Say which provider would take a message to a partner.

        :param int partner_id: id of a res.partner
        :param int permit_id: the permit that the message is about; its company decides whose providers count
        :param str template_key: key of a master template; without it only accounts and consent are looked at
        :return: `provider` (record, empty when there is none), `reason` (a sentence), `use_24h_window` (bool)
        :rtype: dict
        :raise AccessError: the caller is no internal user, or may not read the partner or the permit
        :raise UserError: there is no such partner
        """
        partner, company = self._checked_target(partner_id, permit_id)
        directory = self._directory([template_key] if template_key else [])
        request = self._request(partner, company, template_key=template_key or "")
        return self._choose(request, directory)

    @api.model
    def _choose(self, request, directory):
        """Decide `determine_provider` for a Request.

        :param Request request: whose recipient, company and template count
        :param Directory directory: with its template
        :rtype: dict
        """
        usable = [
            sender.id
            for sender in directory.senders
            if sender.company_id in (None, request.company_id) and not self._is_resting(sender)
        ]
        providers = self.env["sicantik.whatsapp.provider"].sudo().browse(usable)
        metas = providers.filtered(lambda provider: provider.provider_type == "meta")
        why_not_meta = (
            self._why_not_meta(request, directory) if request.template_key else self._why_no_consent(request)
        )
        if metas and not why_not_meta:
            window = request.window_open
            reason = _("within 24 hours of the last message") if window else _("opted in")
            return {
                "provider": metas[0],
                "reason": _("Meta: the recipient is %s.", reason),
                "use_24h_window": window,
            }
        others = providers - metas
        if others:
            reason = why_not_meta if metas else _("no Meta account is configured.")
            return {
                "provider": others[0],
                "reason": _("%(provider)s: %(reason)s", provider=others[0].name, reason=reason),
                "use_24h_window": False,
            }
        return {
            "provider": self.env["sicantik.whatsapp.provider"],
            "reason": self._no_provider_message(metas, why_not_meta),
            "use_24h_window": False,
        }

    @api.model
    def send_template_message(self, template_key, partner_id, context_values, permit_id=None):
        """Send a template to a partner now and wait for the answer.

        This talks to the provider inside the caller's transaction, for as long as the provider takes: for
        more than a message or two, fire a trigger instead.

        ::

            result = env["sicantik.whatsapp.dispatcher"].send_template_message(
                "permit_ready", permit.partner_id.id, {"partner_name": "Ani", …}, permit_id=permit.id
            )

        :param str template_key: key of a master template
        :param int partner_id: id of a res.partner
        :param dict context_values: {parameter: value}
        :param int permit_id: the permit that the message is about
        :return: `success`, `provider` (name), `provider_type`, `provider_id`, `message_id`, `error`,
            `error_class`; after a fallback also `fallback_used`, `original_provider`, `original_error`
        :rtype: dict
        :raise AccessError: the caller is no internal user, or may not read the partner or the permit
        :raise UserError: there is no such partner or no such template
        """
        partner, company = self._checked_target(partner_id, permit_id)
        return self._send_template(template_key, partner, context_values, company, permit_id)

    @api.model
    def _send_template(
        self, template_key, partner, context_values, company=None, permit_id=None, provider=None
    ):
        """As `send_template_message`, for a partner record, by `provider` only if it is given."""
        if not self._directory([template_key]).find(template_key):
            raise UserError(self._no_template_message(template_key))
        company = company or partner.company_id or self.env.company
        request = self._request(
            partner.sudo(), company, template_key=template_key, context=dict(context_values or {})
        )
        return self._send_now(request, partner, permit_id, provider=provider)

    @api.model
    def _request(self, partner, company, **values):
        """Make a Request for a partner record."""
        return Request(
            0,
            partner.whatsapp_e164 or "",
            partner.whatsapp_opt_in,
            partner.whatsapp_window_open,
            company.id,
            **values,
        )

    @api.model
    def send_text_message(self, partner_id, message, provider_type=None):
        """Send free text to a partner now and wait for the answer.

        Meta takes free text only within 24 hours of the recipient's last message.

        :param int partner_id: id of a res.partner
        :param str message: the text
        :param str provider_type: by this type of provider only
        :return: as `send_template_message`
        :rtype: dict
        :raise AccessError: the caller is no internal user, or may not read the partner
        :raise UserError: there is no such partner
        """
        partner, company = self._checked_target(partner_id)
        request = self._request(partner, company, message_type="text", body=message or "")
        return self._send_now(request, partner, provider_type=provider_type)

    def _checked_target(self, partner_id, permit_id=None):
        """Give the partner and the company of a call, after checking what the caller may see."""
        self.env["sicantik.notification.access"]._check_internal()
        partner = self.env["res.partner"].browse(partner_id).exists()
        if not partner:
            raise UserError(_("There is no contact with the id %s.", partner_id))
        permit = self.env["sicantik.permit"].browse(permit_id or ())
        if not self.env.su:
            for record in filter(None, (partner, permit)):
                check_access(record, "read")
        return partner.sudo(), permit.sudo().company_id or partner.sudo().company_id or self.env.company

    # === PLAN ===#

    @api.model
    def _directory(self, keys):
        """Read once what the ways of many messages are made of.

        :param keys: keys of master templates, with or without Meta's prefix
        :rtype: Directory
        """
        providers = self._providers()
        standing = self.env["sicantik.notification.allowance"]._standing(providers.ids)
        texts = self.env["sicantik.whatsapp.template.master"].sudo()._by_key(keys)
        return Directory(
            tuple(one._sender(*standing.get(one.id, (None, None))) for one in providers),
            {key: self._text(template) for key, template in texts.items()},
        )

    @api.model
    def _text(self, template):
        return Text(
            key=template.template_key,
            name=template.meta_template_name or template.template_key,
            language=template.language,
            parameters=tuple(template._parameter_names()),
            body=template.body_preview or "",
            at_meta=template._is_usable_at_meta(),
            fonnte_variables=bool(template.fonnte_template_id) and template.fonnte_status in USABLE_STATUSES,
            twilio_content_sid=(template.twilio_content_sid or "").strip(),
        )

    @api.model
    def _providers(self):
        """Give the providers that are set up, in the order in which they are tried.

        Those whose circuit is open are among them: they are tried again by and by.
        """
        providers = (
            self.env["sicantik.whatsapp.provider"]
            .sudo()
            .with_context(active_test=True)
            .search(
                [
                    ("credential_state", "in", ("configured", "error")),
                    ("provider_type", "in", list(PROVIDERS)),
                ]
            )
        )
        refusing = providers.filtered(lambda provider: provider.credential_state == "error")
        if refusing:
            standing = self.env["sicantik.notification.allowance"]._standing(refusing.ids)
            providers -= refusing.filtered(lambda one: not standing.get(one.id, (None, None))[1])
        default_id = self.env["ir.config_parameter"].sudo().get_param(DEFAULT_PROVIDER) or ""

        def rank(provider):
            tie = TIE_ORDER.index(provider.provider_type) if provider.provider_type in TIE_ORDER else -1
            return (
                provider.provider_type != "meta",
                str(provider.id) != default_id,
                provider.sequence,
                tie,
                provider.id,
            )

        return providers.sorted(rank)

    @api.model
    def _is_resting(self, sender):
        """Whether the circuit of a sender is open, and it is not yet time to try it again."""
        return bool(sender.probe_date and sender.probe_date > fields.Datetime.now())

    @api.model
    def _plan(self, requests, directory=None, provider_type=None, provider=None):
        """Find the ways of many messages.

        :param list[Request] requests: the messages
        :param Directory directory: what `_directory` gave for their templates; None: read it now
        :param str provider_type: look at providers of this type only
        :param provider: look at this provider only
        :return: {request key: list[Route] in the order in which they are tried, or Refusal}
        :rtype: dict
        """
        if directory is None:
            directory = self._directory({one.template_key for one in requests if one.template_key})
        senders = [
            sender
            for sender in directory.senders
            if (not provider_type or sender.provider_type == provider_type)
            and (not provider or sender.id == provider.id)
        ]
        planned = {}
        for request in requests:
            try:
                planned[request.key] = self._routes(request, senders, directory)
            except MissingParameter as missing:
                planned[request.key] = Refusal(
                    "missing_parameter",
                    _(
                        "The message has no value for %(names)s. Give it in the context values or in the "
                        "rule's context code.",
                        names=", ".join(missing.names),
                    ),
                )
            except psycopg2.Error:
                raise
            except Exception as error:
                # The text of the exception could hold the number or the message.
                _logger.error(
                    "Could not plan message %s: %s\n%s",
                    request.key,
                    type(error).__name__,
                    "".join(traceback.format_tb(error.__traceback__)),
                )
                planned[request.key] = Refusal(
                    errors.UNKNOWN, _("The message could not be prepared: %s", type(error).__name__)
                )
        return planned

    def _routes(self, request, senders, directory):
        if not request.phone:
            return Refusal(
                "no_number", _("The recipient has no usable WhatsApp number. Enter one in the contact.")
            )
        is_text = request.message_type == "text"
        if not is_text and not directory.find(request.template_key):
            return Refusal("no_template", self._no_template_message(request.template_key))
        mine = [
            one
            for one in senders
            if one.company_id in (None, request.company_id) and one.id != request.without
        ]
        has_meta = any(one.provider_type == "meta" for one in mine)
        why_not_meta = self._why_not_meta(request, directory) if has_meta else None
        forms = {}
        if has_meta and not why_not_meta:
            forms["meta"] = directory.meta_text(request.template_key)
        plain = directory.plain_text(request.template_key)
        if (is_text or plain) and any(one.provider_type != "meta" for one in mine):
            forms["plain"] = plain
        messages, missing = {}, None
        for form, text in forms.items():
            try:
                messages[form] = self._message(request, text)
            except MissingParameter as error:
                missing = missing or error
        if missing and not messages:
            raise missing
        routes = []
        for one in mine:
            message = messages.get("meta" if one.provider_type == "meta" else "plain")
            if message:
                routes.append(Route(one.id, one.account, message))
        return routes or Refusal("no_provider", self._no_provider_message(has_meta, why_not_meta))

    def _message(self, request, text):
        if request.message_type == "text":
            return Message(request.phone, request.body, reference=request.reference)
        values = parameters.ordered(text.parameters, request.context)
        return Message(
            phone=request.phone,
            text=parameters.render(text.body, dict(values)),
            template=Template(
                name=text.name,
                language=text.language,
                parameters=values,
                body=text.body,
                fonnte_variables=text.fonnte_variables,
                twilio_content_sid=text.twilio_content_sid,
            ),
            reference=request.reference,
        )

    # === TEMPLATES AND CONSENT ===#

    def _why_no_consent(self, request):
        if request.opted_in or request.window_open:
            return None
        return _("the recipient has neither opted in nor written within the last 24 hours.")

    def _why_not_meta(self, request, directory):
        """Say why Meta cannot take a message; None when it can (contract, section 6)."""
        if request.message_type == "text":
            if request.window_open:
                return None
            return _("free text needs a message of the recipient within the last 24 hours.")
        no_consent = self._why_no_consent(request)
        if no_consent:
            return no_consent
        if not directory.meta_text(request.template_key):
            return _("the template “%s” is not usable at Meta.", request.template_key)
        return None

    def _no_template_message(self, key):
        return _(
            "There is no master template with the key “%s”. Create it under WhatsApp › Configuration › "
            "Master Templates.",
            key or "",
        )

    def _no_provider_message(self, metas, why_not_meta):
        if metas and why_not_meta:
            return _(
                "Meta cannot be used: %s No other provider is configured. Set one up under "
                "WhatsApp › Configuration › WhatsApp Providers.",
                why_not_meta,
            )
        return _(
            "No provider is active and configured. Fill one in under WhatsApp › Configuration › WhatsApp "
            "Providers and test its connection."
        )

    # === ONE MESSAGE, NOW ===#

    def _send_now(self, request, partner, permit_id=None, provider_type=None, provider=None):
        """Plan and deliver one message and write its log in a transaction of its own.

        :return: the dict of `send_template_message`
        """
        directory = self._directory([request.template_key] if request.template_key else [])
        job = self._deliver_now(request, directory, provider_type, provider)
        values = {
            "partner_id": partner.id,
            "phone": request.phone,
            "template_key": request.template_key,
            "context_values": self.env["sicantik.notification.queue"]._with_json(
                {"context_values": request.context}
            )["context_values"],
            "res_model": "sicantik.permit" if permit_id else False,
            "res_id": permit_id or False,
            "company_id": request.company_id,
        }
        logs = self._prepare_attempt_logs(job.attempts, values)
        if isinstance(job.verdict, Refusal):
            logs += self._prepare_refusal_log(job.verdict, values)
        outcomes = [(route.provider_id, attempt) for route, attempt in job.attempts]
        self.env["sicantik.notification.log"]._record_committed(logs)
        committed(self.env, lambda env: env["sicantik.whatsapp.circuit"]._note(outcomes))
        return self._result_of(job)

    def _deliver_now(self, request, directory, provider_type, provider):
        """Take a message along its ways, within the limits of each.

        :return: the job, decided, or with the reason why it was not sent as its verdict
        :rtype: Job
        """
        row = Row(*[None] * len(Row._fields))._replace(phone=request.phone, priority=0)
        job = Job(row, window_open=request.window_open)
        blocked = self.env["sicantik.notification.blacklist"].sudo()._blocked([request.phone])
        if blocked:
            source, reason = blocked[request.phone]
            job.verdict = Refusal("blacklisted", _("The number is on the blacklist: %s", reason or source))
            return job
        plan = self._plan([request], directory, provider_type, provider)[request.key]
        if isinstance(plan, Refusal):
            job.verdict = plan
            return job
        job.routes = plan
        senders = {sender.id: sender for sender in directory.senders}
        while job.routes:

            def admit(env):
                # A retried transaction begins with the ways as they were.
                tried = replace(job, routes=list(job.routes))
                (at,) = env["sicantik.notification.allowance"]._admit([tried], senders, {}, HORIZON_NOW)
                return at, tried.routes

            at, routes = committed(self.env, admit)
            if at is None:
                break
            if isinstance(at, Wait):
                when = fields.Datetime.context_timestamp(self, at.until).strftime("%H:%M:%S")
                job.verdict = Refusal(
                    "limited",
                    _("%(reason)s There is room again at %(when)s.", reason=at.reason, when=when),
                )
                break
            time.sleep(max(0.0, at - time.monotonic()))
            job.attempts.append((routes[0], attempt(routes[0])))
            job.routes = routes[1:] if goes_on(job.answer) else []
        return job

    @api.model
    def _prepare_refusal_log(self, refusal, values):
        held_back = refusal.error_class in ("blacklisted", "no_number", "no_opt_in", "limited")
        return [
            {
                **values,
                "state": "skipped" if held_back else "failed",
                "error_class": refusal.error_class,
                "error_message": refusal.error_message,
            }
        ]

    @api.model
    def _prepare_attempt_logs(self, attempts, values, attempts_before=0):
        """Give the log rows of the attempts at one message.

        :param attempts: list of (Route, Attempt)
        :param dict values: what the rows have in common
        :param int attempts_before: how many attempts there were already
        :rtype: list[dict]
        """
        now = fields.Datetime.now()
        rows = []
        for number, (route, result) in enumerate(attempts, attempts_before + 1):
            accepted = result.outcome == ACCEPTED
            rows.append(
                {
                    **values,
                    "state": "sent" if accepted else "failed",
                    "sent_date": now if accepted else False,
                    "provider_id": route.provider_id,
                    "provider_type": route.account.provider_type,
                    "external_message_id": result.message_id or False,
                    "error_message": result.error_message or False,
                    "error_class": result.error_class or False,
                    "processing_time_ms": result.elapsed_ms,
                    "attempt": number,
                    "delivery_state": "accepted" if accepted else False,
                }
            )
        return rows

    def _result_of(self, job):
        if not job.attempts:
            refusal = job.verdict or Refusal("no_provider", self._no_provider_message(False, None))
            return {
                "success": False,
                "provider": False,
                "provider_type": False,
                "provider_id": False,
                "message_id": False,
                "error": refusal.error_message,
                "error_class": refusal.error_class,
            }
        names = {
            provider.id: provider.name
            for provider in self.env["sicantik.whatsapp.provider"]
            .sudo()
            .browse({route.provider_id for route, _last in job.attempts})
        }
        route, last = job.attempts[-1]
        result = {
            "success": last.outcome == ACCEPTED,
            "provider": names[route.provider_id],
            "provider_type": route.account.provider_type,
            "provider_id": route.provider_id,
            "message_id": last.message_id or False,
            "error": last.error_message or False,
            "error_class": last.error_class or False,
        }
        if len(job.attempts) > 1:
            first_route, first_attempt = job.attempts[0]
            result.update(
                fallback_used=True,
                original_provider=names[first_route.provider_id],
                original_error=first_attempt.error_message,
            )
        return result
