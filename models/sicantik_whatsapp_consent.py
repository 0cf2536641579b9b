from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from odoo import _, api, models

from ..providers import events
from . import opt_words
from .sicantik_whatsapp_event import APPLIED, Verdict

PREFIX = "sicantik_notification_automation"
POLICY = f"{PREFIX}.opt_in_policy"
OPT_OUT_WORDS = f"{PREFIX}.opt_out_words"
OPT_IN_WORDS = f"{PREFIX}.opt_in_words"
POLICIES = [
    ("first_message", "By the first message"),
    ("keyword", "By a word such as START"),
    ("none", "Never by a message"),
]
DEFAULT_POLICY = "first_message"
PARTNER_FIELDS = ["whatsapp_e164", "whatsapp_opt_in", "whatsapp_opt_out_date", "company_id"]


@dataclass(slots=True)
class Wish:
    """What a number wishes in the end, after all its messages: opted out or in, None for no wish.

    `partner_ids` are the contacts whose consent it is: with the number, in the company that was written to.
    `in_words` tells that it was said, and not only understood from a message.
    """

    blocked: bool | None = None
    opted_in: bool | None = None
    in_words: bool = False
    reason: str = ""
    at: datetime | None = None
    partner_ids: set = field(default_factory=set)


class SicantikWhatsappConsent(models.AbstractModel):
    """Messages of people to us: they open Meta's window, opt in and opt out (contract, sections 6 and 7)."""

    _name = "sicantik.whatsapp.consent"
    _description = "WhatsApp Consent"

    @api.model
    def _apply_events(self, stored):
        """Apply messages and preferences of people.

        Contacts that somebody else is writing are not waited for: what their numbers say stays pending, but
        for opt-outs, which hold at once.

        :param list[Stored] stored: the events
        :return: {event id: Verdict} of those that were applied
        :rtype: dict
        """
        stored = sorted(stored, key=lambda one: (self._moment(one), one.id))
        providers = {
            one.id: one
            for one in self.env["sicantik.whatsapp.provider"].browse({one.provider_id for one in stored})
        }
        ours = self._outgoing({getattr(one.event, "message_id", "") for one in stored} - {""})
        phones = {one.event.phone for one in stored} - {""}
        partners = self._partners(phones)
        opted_out = self.env["sicantik.notification.blacklist"]._opted_out(phones)
        settings = self._settings()
        busy = self._busy(partners)
        verdicts, wishes, windows = {}, {}, {}
        for one in stored:
            event, company = one.event, providers[one.provider_id].company_id
            if getattr(event, "message_id", "") in ours:
                verdicts[one.id] = Verdict("ignored", _("An echo of our own message."))
                continue
            if not event.phone:
                verdicts[one.id] = Verdict("unmatched", _("The provider did not tell the number."))
                continue
            if event.phone in busy:
                continue
            known = partners[event.phone].filtered(lambda partner, of=company: self._concerns(partner, of))
            if isinstance(event, events.Inbound) and providers[one.provider_id].provider_type == "meta":
                for partner in known:
                    windows[partner.id] = self._moment(one)
            wish = wishes.setdefault(event.phone, Wish())
            decided = self._decide(wish, one, opted_out.get(event.phone), settings)
            if wish.opted_in:
                wish.partner_ids.update(known.ids)
            verdicts[one.id] = (
                APPLIED if known or decided else Verdict("unmatched", _("No contact has this number."))
            )
        self._open_windows(windows)
        self._grant(wishes, partners)
        if busy:
            self._block([one for one in stored if one.id not in verdicts])
        return verdicts

    @api.model
    def _block(self, stored):
        """Put numbers on the blacklist that opt out, and do nothing about their contacts.

        :param list[Stored] stored: the events, in the order in which they came
        """
        settings, wishes = self._settings(), {}
        ours = self._outgoing({getattr(one.event, "message_id", "") for one in stored} - {""})
        for one in stored:
            if one.event.phone and getattr(one.event, "message_id", "") not in ours:
                self._decide(wishes.setdefault(one.event.phone, Wish()), one, None, settings)
        self.env["sicantik.notification.blacklist"]._add_opt_outs(
            {number: (wish.reason, wish.at, None) for number, wish in wishes.items() if wish.blocked}
        )

    # === READING ===#

    def _moment(self, stored):
        """Give when a person wrote; never later than when it came to us."""
        return min(stored.event.at or stored.date, stored.date).replace(microsecond=0)

    def _outgoing(self, message_ids):
        """Tell which ids are those of messages that we have sent."""
        if not message_ids:
            return set()
        logs = self.env["sicantik.notification.log"]
        groups = logs._read_group(
            [("external_message_id", "in", list(message_ids))], ["external_message_id"]
        ) + logs._read_group([("external_alias", "in", list(message_ids))], ["external_alias"])
        return {id_ for (id_,) in groups}

    def _partners(self, phones):
        """Give the contacts of numbers, archived ones too: {number: partners}."""
        found = defaultdict(self.env["res.partner"].browse)
        partners = self.env["res.partner"].with_context(active_test=False)
        for partner in partners.search_fetch([("whatsapp_e164", "in", list(phones))], PARTNER_FIELDS):
            found[partner.whatsapp_e164] |= partner
        return found

    def _busy(self, partners):
        """Lock contacts, and tell which numbers have one that is locked by somebody else."""
        ids = [partner.id for found in partners.values() for partner in found]
        if not ids:
            return set()
        self.env.cr.execute(
            "SELECT id FROM res_partner WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED", [ids]
        )
        free = {id_ for (id_,) in self.env.cr.fetchall()}
        return {number for number, found in partners.items() if not free.issuperset(found.ids)}

    def _concerns(self, partner, company):
        """Whether somebody who writes to a number of a company may be this contact."""
        return not company or not partner.company_id or partner.company_id == company

    def _settings(self):
        """Read the policy, and the words by which people opt out and in."""
        get = self.env["ir.config_parameter"].sudo().get_param
        policy = get(POLICY)
        return (
            policy if policy in dict(POLICIES) else DEFAULT_POLICY,
            opt_words.read_words(get(OPT_OUT_WORDS), opt_words.OPT_OUT),
            opt_words.read_words(get(OPT_IN_WORDS), opt_words.OPT_IN),
        )

    @api.model
    def _is_wish(self, event):
        """Whether a message opts out or in by a word."""
        _policy, opt_out, opt_in = self._settings()
        return bool(opt_words.wish_of(event.text, event.payload, opt_out, opt_in))

    # === DECIDING ===#

    def _decide(self, wish, stored, opted_out_on, settings):
        """Add one message to what its number wishes.

        :param Wish wish: what it wished before; is changed
        :param datetime opted_out_on: since when the number is opted out in the database, None: it is not
        :return: whether it has a wish that concerns the number itself, known to us or not
        :rtype: bool
        """
        policy, opt_out, opt_in = settings
        event, at = stored.event, self._moment(stored)
        if isinstance(event, events.Preference):
            said = "stop" if event.opted_out else "start"
            reason = _("Stopped messages in WhatsApp.")
        else:
            said = opt_words.wish_of(event.text, event.payload, opt_out, opt_in)
            reason = _("Wrote an opt-out word.")
        if said == "stop":
            wish.blocked, wish.opted_in, wish.reason, wish.at = True, False, reason, at
            wish.in_words = False
            return True
        blocked = bool(opted_out_on) if wish.blocked is None else wish.blocked
        if said == "start" and blocked and wish.blocked is None and at < opted_out_on:
            return True  # told late: the opt-out came after it
        if said == "start" and blocked:
            wish.blocked, blocked = False, False
        agrees = {"first_message": True, "keyword": bool(said), "none": False}[policy]
        if agrees and not blocked:
            wish.opted_in, wish.at = True, wish.at if wish.opted_in else at
            wish.in_words = wish.in_words or bool(said)
        return said == "start"

    # === WRITING ===#

    def _open_windows(self, windows):
        """Note when contacts wrote last; forward only.

        :param dict windows: {partner id: UTC datetime}
        """
        if not windows:
            return
        self.env.cr.execute(
            """
            WITH wrote AS (
                SELECT p.id, w.at
                  FROM unnest(%s, %s::timestamp[]) AS w (id, at)
                  JOIN res_partner p ON p.id = w.id
                 WHERE p.whatsapp_last_inbound IS NULL OR p.whatsapp_last_inbound < w.at
              ORDER BY p.id
                   FOR NO KEY UPDATE OF p
            )
            UPDATE res_partner AS p SET whatsapp_last_inbound = wrote.at FROM wrote WHERE p.id = wrote.id
            """,
            [list(windows), list(windows.values())],
        )
        self.env["res.partner"].invalidate_model(["whatsapp_last_inbound", "whatsapp_window_open"])

    def _grant(self, wishes, partners):
        """Fulfil what numbers wish.

        :param dict wishes: {number: Wish}
        :param dict partners: {number: partners}
        """
        self._opt_out(
            {number: (wish.reason, wish.at) for number, wish in wishes.items() if wish.blocked}, partners
        )
        lifted = self.env["sicantik.notification.blacklist"]._lift_opt_outs(
            [number for number, wish in wishes.items() if wish.blocked is False]
        )
        notes = {
            partner.id: _("Wants WhatsApp messages again: taken off the blacklist.")
            for number in lifted
            for partner in partners[number]
        }
        by_date = defaultdict(self.env["res.partner"].browse)
        for number, wish in wishes.items():
            if wish.opted_in:
                by_date[wish.at] |= partners[number].filtered(
                    lambda partner, wish=wish: (
                        partner.id in wish.partner_ids
                        and not partner.whatsapp_opt_in
                        and (wish.in_words or not partner.whatsapp_opt_out_date)
                    )
                )
        for at, agreed in by_date.items():
            agreed.with_context(tracking_disable=True).write(
                {"whatsapp_opt_in": True, "whatsapp_opt_in_date": at}
            )
            for partner in agreed:
                notes.setdefault(partner.id, _("Opted in to WhatsApp messages by a message."))
        self._note(notes)

    @api.model
    def _opt_out(self, numbers, partners=None):
        """Put numbers on the blacklist whose owners do not want messages, and withdraw their consent.

        :param dict numbers: {E.164 number: (reason, UTC datetime)}
        :param dict partners: {number: partners} as `_partners` gives; None: look them up
        """
        if not numbers:
            return
        partners = self._partners(numbers) if partners is None else partners
        new = self.env["sicantik.notification.blacklist"]._add_opt_outs(
            {number: (reason, at, partners[number][:1].id) for number, (reason, at) in numbers.items()}
        )
        concerned = self.env["res.partner"].union(*(partners[number] for number in numbers))
        agreed = concerned.filtered("whatsapp_opt_in")
        agreed.with_context(tracking_disable=True).write({"whatsapp_opt_in": False})
        self._note(
            {
                partner.id: _("Opted out of WhatsApp messages: %s", numbers[number][0])
                for number in numbers
                for partner in partners[number]
                if number in new or partner in agreed
            }
        )

    def _note(self, notes):
        """Leave notes at contacts: {partner id: sentence}. Nobody is notified."""
        if notes:
            self.env["res.partner"].browse(notes)._message_log_batch(bodies=notes)
