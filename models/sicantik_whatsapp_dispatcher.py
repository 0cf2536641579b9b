import logging
from dataclasses import dataclass, field

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
    deliver,
    errors,
    parameters,
)
from .sicantik_whatsapp_template_master import META_PREFIX, USABLE_STATUSES

_logger = logging.getLogger(__name__)

# Among providers of the same sequence (contract, section 7); Meta goes before all of them.
TIE_ORDER = ("fonnte", "watzap", "waha", "twilio")
DEFAULT_PROVIDER = "sicantik_notification_automation.default_provider_id"


@dataclass(frozen=True)
class Request:
    """One message for which ways are to be found: plain values, and the partner record (may be empty)."""

    key: int
    phone: str
    partner: models.BaseModel
    company_id: int
    message_type: str = "template"
    template_key: str = ""
    body: str = ""
    context: dict = field(default_factory=dict)
    reference: str = ""


@dataclass(frozen=True)
class Refusal:
    """Why no way was found; nothing has been sent."""

    error_class: str
    error_message: str


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
        providers = self._providers().filtered(lambda one: one.company_id.id in (False, company.id))
        metas = providers.filtered(lambda provider: provider.provider_type == "meta")
        templates = self.env["sicantik.whatsapp.template.master"].sudo()._by_key([template_key])
        request = Request(
            0, partner.whatsapp_e164 or "", partner, company.id, template_key=template_key or ""
        )
        why_not_meta = (
            self._why_not_meta(request, templates) if template_key else self._why_no_consent(partner)
        )
        if metas and not why_not_meta:
            window = partner.whatsapp_window_open
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
        templates = self.env["sicantik.whatsapp.template.master"].sudo()._by_key([template_key])
        if not self._find_templates(template_key, templates):
            raise UserError(self._no_template_message(template_key))
        company = company or partner.company_id or self.env.company
        request = Request(
            0,
            partner.whatsapp_e164 or "",
            partner.sudo(),
            company.id,
            template_key=template_key,
            context=dict(context_values or {}),
        )
        return self._send_now(request, permit_id, provider=provider)

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
        request = Request(
            0, partner.whatsapp_e164 or "", partner, company.id, message_type="text", body=message or ""
        )
        return self._send_now(request, provider_type=provider_type)

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
    def _plan(self, requests, provider_type=None, provider=None):
        """Find the ways of many messages.

        :param list[Request] requests: the messages
        :param str provider_type: look at providers of this type only
        :param provider: look at this provider only
        :return: {request key: list[Route] in the order in which they are tried, or Refusal}
        :rtype: dict
        """
        providers = self._providers()
        if provider_type:
            providers = providers.filtered(lambda one: one.provider_type == provider_type)
        if provider:
            providers &= provider
        templates = (
            self.env["sicantik.whatsapp.template.master"]
            .sudo()
            ._by_key({request.template_key for request in requests if request.template_key})
        )
        accounts = {one.id: one._account() for one in providers}
        planned = {}
        for request in requests:
            try:
                planned[request.key] = self._routes(request, providers, templates, accounts)
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
                _logger.exception("Could not plan message %s", request.key)
                planned[request.key] = Refusal(
                    errors.UNKNOWN, _("The message could not be prepared: %s", type(error).__name__)
                )
        return planned

    @api.model
    def _providers(self):
        """Give the providers that may be used, in the order in which they are tried."""
        providers = (
            self.env["sicantik.whatsapp.provider"]
            .sudo()
            .with_context(active_test=True)
            .search([("credential_state", "=", "configured"), ("provider_type", "in", list(PROVIDERS))])
        )
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

    def _routes(self, request, providers, templates, accounts):
        if not request.phone:
            return Refusal(
                "no_number", _("The recipient has no usable WhatsApp number. Enter one in the contact.")
            )
        is_text = request.message_type == "text"
        if not is_text and not self._find_templates(request.template_key, templates):
            return Refusal("no_template", self._no_template_message(request.template_key))
        mine = providers.filtered(lambda one: one.company_id.id in (False, request.company_id))
        metas = mine.filtered(lambda one: one.provider_type == "meta")
        why_not_meta = self._why_not_meta(request, templates)
        forms = {}
        if metas and not why_not_meta:
            forms["meta"] = self._meta_template(request.template_key, templates)
        plain = self._plain_template(request.template_key, templates)
        if (is_text or plain) and mine - metas:
            forms["plain"] = plain
        messages, missing = {}, None
        for form, template in forms.items():
            try:
                messages[form] = self._message(request, template)
            except MissingParameter as error:
                missing = missing or error
        if missing and not messages:
            raise missing
        routes = []
        for one in mine:
            message = messages.get("meta" if one.provider_type == "meta" else "plain")
            if message:
                routes.append(Route(one.id, accounts[one.id], message))
        return routes or Refusal("no_provider", self._no_provider_message(metas, why_not_meta))

    def _message(self, request, template):
        if request.message_type == "text":
            return Message(request.phone, request.body, reference=request.reference)
        values = parameters.ordered(template._parameter_names(), request.context)
        body = template.body_preview or ""
        return Message(
            phone=request.phone,
            text=parameters.render(body, dict(values)),
            template=Template(
                name=template.meta_template_name or template.template_key,
                language=template.language,
                parameters=values,
                body=body,
                fonnte_variables=bool(template.fonnte_template_id)
                and template.fonnte_status in USABLE_STATUSES,
            ),
            reference=request.reference,
        )

    # === TEMPLATES AND CONSENT ===#

    @api.model
    def _meta_template(self, key, templates):
        """Give the template that Meta would be asked for: `meta_<key>` first, then the key itself."""
        plain = (key or "").removeprefix(META_PREFIX)
        for candidate in (META_PREFIX + plain, plain):
            template = templates.get(candidate)
            if template and template._is_usable_at_meta():
                return template
        return None

    @api.model
    def _plain_template(self, key, templates):
        """Give the template whose text the other providers send: the one without the prefix."""
        return templates.get((key or "").removeprefix(META_PREFIX))

    @api.model
    def _find_templates(self, key, templates):
        plain = (key or "").removeprefix(META_PREFIX)
        return bool(plain and (templates.get(plain) or templates.get(META_PREFIX + plain)))

    def _why_no_consent(self, partner):
        if partner.whatsapp_opt_in or partner.whatsapp_window_open:
            return None
        return _("the recipient has neither opted in nor written within the last 24 hours.")

    def _why_not_meta(self, request, templates):
        """Say why Meta cannot take a message; None when it can (contract, section 6)."""
        if request.message_type == "text":
            if request.partner.whatsapp_window_open:
                return None
            return _("free text needs a message of the recipient within the last 24 hours.")
        no_consent = self._why_no_consent(request.partner)
        if no_consent:
            return no_consent
        if not self._meta_template(request.template_key, templates):
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

    def _send_now(self, request, permit_id=None, provider_type=None, provider=None):
        """Plan and deliver one message and write its log in a transaction of its own.

        :return: the dict of `send_template_message`
        """
        blocked = self.env["sicantik.notification.blacklist"].sudo()._blocked([request.phone])
        if blocked:
            source, reason = blocked[request.phone]
            plan = Refusal("blacklisted", _("The number is on the blacklist: %s", reason or source))
        else:
            plan = self._plan([request], provider_type, provider)[request.key]
        walk = [] if isinstance(plan, Refusal) else next(deliver([(request.key, plan)], workers=1))[1]
        values = {
            "partner_id": request.partner.id,
            "phone": request.phone,
            "template_key": request.template_key,
            "context_values": self.env["sicantik.notification.queue"]._with_json(
                {"context_values": request.context}
            )["context_values"],
            "res_model": "sicantik.permit" if permit_id else False,
            "res_id": permit_id or False,
            "company_id": request.company_id,
        }
        logs = (
            self._prepare_refusal_log(plan, values) if not walk else self._prepare_attempt_logs(walk, values)
        )
        self.env["sicantik.notification.log"]._record_committed(logs)
        return self._result_of(plan, walk)

    @api.model
    def _prepare_refusal_log(self, refusal, values):
        held_back = refusal.error_class in ("blacklisted", "no_number", "no_opt_in")
        return [
            {
                **values,
                "state": "skipped" if held_back else "failed",
                "error_class": refusal.error_class,
                "error_message": refusal.error_message,
            }
        ]

    @api.model
    def _prepare_attempt_logs(self, walk, values, attempts_before=0):
        """Give the log rows of the attempts at one message.

        :param walk: list of (Route, Attempt)
        :param dict values: what the rows have in common
        :param int attempts_before: how many attempts there were already
        :rtype: list[dict]
        """
        now = fields.Datetime.now()
        rows = []
        for number, (route, attempt) in enumerate(walk, attempts_before + 1):
            accepted = attempt.outcome == ACCEPTED
            rows.append(
                {
                    **values,
                    "state": "sent" if accepted else "failed",
                    "sent_date": now if accepted else False,
                    "provider_id": route.provider_id,
                    "provider_type": route.account.provider_type,
                    "external_message_id": attempt.message_id or False,
                    "error_message": attempt.error_message or False,
                    "error_class": attempt.error_class or False,
                    "processing_time_ms": attempt.elapsed_ms,
                    "attempt": number,
                    "delivery_state": "accepted" if accepted else False,
                }
            )
        return rows

    def _result_of(self, plan, walk):
        if not walk:
            return {
                "success": False,
                "provider": False,
                "provider_type": False,
                "provider_id": False,
                "message_id": False,
                "error": plan.error_message,
                "error_class": plan.error_class,
            }
        names = {
            provider.id: provider.name
            for provider in self.env["sicantik.whatsapp.provider"]
            .sudo()
            .browse({route.provider_id for route, _attempt in walk})
        }
        route, attempt = walk[-1]
        result = {
            "success": attempt.outcome == ACCEPTED,
            "provider": names[route.provider_id],
            "provider_type": route.account.provider_type,
            "provider_id": route.provider_id,
            "message_id": attempt.message_id or False,
            "error": attempt.error_message or False,
            "error_class": attempt.error_class or False,
        }
        if len(walk) > 1:
            first_route, first_attempt = walk[0]
            result.update(
                fallback_used=True,
                original_provider=names[first_route.provider_id],
                original_error=first_attempt.error_message,
            )
        return result
