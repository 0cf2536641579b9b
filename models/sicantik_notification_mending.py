from odoo import _, api, models

from .opening import open_list

QUEUE = "sicantik.notification.queue"
# Reasons that are shown, and records that are opened at most.
REASONS = 8
CONCERNED = 1000


class SicantikNotificationMending(models.AbstractModel):
    """Why messages did not go out, and what mends it."""

    _name = "sicantik.notification.mending"
    _description = "Notification Mending"

    @api.model
    def _labels(self):
        return dict(self.env[QUEUE]._fields["error_class"]._description_selection(self.env))

    @api.model
    def _reasons(self, counts, since):
        """Give the commonest reasons for which messages did not go out, failures first, and what mends them.

        :param dict counts: {error class: Counter of states}
        :param str since: from which moment on (UTC) they are counted
        :rtype: list[dict]
        """
        labels, mending = self._labels(), self._mending()
        order = sorted(counts, key=lambda one: (-counts[one]["failed"], -counts[one]["skipped"], one or ""))
        result = []
        for reason in order[:REASONS]:
            hint, _what, button = mending.get(reason, mending[False])
            domain = self._domain(reason, since)
            result.append(
                {
                    "reason": reason or "",
                    "label": labels.get(reason) or _("No reason given"),
                    "hint": hint,
                    "button": button,
                    "failed": counts[reason]["failed"],
                    "skipped": counts[reason]["skipped"],
                    "failed_domain": [("state", "=", "failed"), *domain[1:]],
                    "skipped_domain": [("state", "=", "skipped"), *domain[1:]],
                }
            )
        return result

    @api.model
    def _domain(self, reason, since):
        """Give the domain of the messages that ended for a reason since a moment."""
        return [
            ("state", "in", ("failed", "skipped")),
            ("error_class", "=", reason or False),
            ("write_date", ">=", since),
        ]

    @api.model
    def _mending(self):
        """Say what mends messages that ended for a reason: a sentence, what is opened, and the button's text.

        The key False is for all other reasons.

        :rtype: dict
        """
        contacts = ("contacts", _("Open Contacts"))
        providers = ("providers", _("Open Providers"))
        templates = ("templates", _("Open Templates"))
        rules = ("rules", _("Open Rules"))
        blacklist = ("blacklist", _("Open Blacklist"))
        messages = ("messages", _("Open Messages"))
        return {
            "bad_credentials": (
                _("Enter the credentials again in the provider and test the connection, then retry."),
                *providers,
            ),
            "account_blocked": (
                _("Look after the account at the service (payment, device, number), then retry."),
                *providers,
            ),
            "no_provider": (_("Set up a provider that may write to these people, then retry."), *providers),
            "rate_limited": (
                _("The service asked to slow down. Lower the rate of the provider."),
                *providers,
            ),
            "no_number": (_("Enter a WhatsApp number in the contact, then retry."), *contacts),
            "no_email": (_("Enter an e-mail address in the contact, then retry."), *contacts),
            "bad_recipient": (
                _("The number is not on WhatsApp. Correct it in the contact, then retry."),
                *contacts,
            ),
            "no_opt_in": (
                _("Ask these people whether they want messages, and note it in the contact."),
                *contacts,
            ),
            "no_template": (_("Create the template or correct the key in the rule, then retry."), *templates),
            "bad_template": (_("Correct the template at the service and here, then retry."), *templates),
            "window_closed": (
                _("Free text is too late here. Send a template that Meta has approved."),
                *templates,
            ),
            "missing_parameter": (
                _("Let the rule fill the parameter, or take it out of the template, then retry."),
                *rules,
            ),
            "no_recipient": (_("Say in the rule who is written to, or enter the applicant."), *rules),
            "blacklisted": (
                _("They do not want messages. Remove the entry if that has changed."),
                *blacklist,
            ),
            "capped": (_("They had as many messages that day as one person gets. Nothing to do."), *messages),
            "no_record": (_("The record was deleted before the message left. Nothing to do."), *messages),
            "interrupted": (_("Ask the recipient whether it arrived, then retry or leave it."), *messages),
            False: (_("Read what the service answered, then retry."), *messages),
        }

    @api.model
    def _remedy(self, reason, since):
        """Open what has to be changed so that messages that ended for a reason go out.

        :param str reason: an `error_class` of the queue, empty for messages without
        :param str since: as in `_reasons`
        :return: an action
        :rtype: dict
        """
        return self._open_remedy(reason, self._domain(reason, since))

    @api.model
    def _advice(self, reason):
        """Say what mends a message that ended for a reason.

        :param str reason: an `error_class`, empty for none
        :return: a sentence, and what to open for it: `contacts`, `providers`, `templates`, `rules`,
            `blacklist`, or `messages` where there is nothing but the message itself
        :rtype: tuple
        """
        mending = self._mending()
        hint, what, _button = mending.get(reason, mending[False])
        return hint, what

    @api.model
    def _open_remedy(self, reason, domain):
        """Open what has to be changed so that messages go out.

        :param str reason: the `error_class` that they ended for
        :param list domain: which messages of the queue
        :return: an action
        :rtype: dict
        """
        _hint, what = self._advice(reason)
        rows = self.env[QUEUE]
        if what == "contacts":
            return self._open_concerned(_("Contacts"), "res.partner", rows, domain, "partner_id")
        if what == "rules":
            return self._open_concerned(_("Rules"), "sicantik.notification.rule", rows, domain, "rule_id")
        if what == "providers":
            return self._open_concerned(
                _("WhatsApp Providers"), "sicantik.whatsapp.provider", rows, domain, "provider_id"
            )
        if what == "templates":
            keys = [key for (key,) in rows._read_group(domain, ["template_key"]) if key]
            keys += [f"meta_{key}" for key in keys]
            found = self.env["sicantik.whatsapp.template.master"].search([("template_key", "in", keys)])
            return open_list(
                _("Master Templates"), found._name, [("id", "in", found.ids)] if found else [], found
            )
        if what == "blacklist":
            return open_list(_("Blacklist"), "sicantik.notification.blacklist", [])
        return open_list(self._labels().get(reason) or _("Delivery Queue"), QUEUE, domain)

    def _open_concerned(self, name, model, rows, domain, field):
        """Open the contacts, rules or providers of messages; all there are, when the messages name none."""
        found = self.env[model].union(
            *(record for (record,) in rows._read_group(domain, [field], limit=CONCERNED))
        )
        return open_list(name, model, [("id", "in", found.ids)] if found else [], found)
