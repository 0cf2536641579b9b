import re

from odoo import _, api, fields, models
from odoo.exceptions import AccessError, UserError

from .opening import open_form

QUEUE = "sicantik.notification.queue"
# What people search messages by; see `_search_subject_name`.
SUBJECTS = ("sicantik.permit", "sicantik.document")
# What the text of a message depends on.
TEXT_FIELDS = ("template_key", "context_values", "body", "message_type", "channel")
NUMBER = re.compile(r"[\d\s+().-]{3,}")


class SicantikNotificationMessageMixin(models.AbstractModel):
    """What the queue and the log say alike of a message: whom it goes to, what it is about, its text and its
    story.

    Needs the fields `partner_id`, `phone`, `email`, `res_model` and `res_id`.
    """

    _name = "sicantik.notification.message.mixin"
    _description = "Message and Its Story"

    address = fields.Char(
        string="Name, Number or E-mail", compute="_compute_address", search="_search_address"
    )
    subject_name = fields.Char(
        string="About", compute="_compute_subject_name", search="_search_subject_name", compute_sudo=False
    )
    shown_text = fields.Text(
        string="Message Text", compute="_compute_shown_text", compute_sudo=False, exportable=False
    )
    story = fields.Html(
        compute="_compute_story", compute_sudo=False, sanitize=False, readonly=True, exportable=False
    )

    # === WHOM ===#

    @api.depends("phone", "email")
    def _compute_address(self):
        for message in self:
            message.address = message.phone or message.email

    @api.model
    def _search_address(self, operator, value):
        """Find messages by the name, the number in any spelling, or the address of who they go to."""
        if not isinstance(value, str) or not value.strip():
            return [("phone", operator, value)]
        value = value.strip()
        number = self.env["sicantik.notification.blacklist"]._to_e164(value)
        if number:
            domain = [("phone", "=", number)]
        else:
            domain = ["|", ("partner_id", "ilike", value), ("email", "ilike", value)]
            if NUMBER.fullmatch(value):
                digits = re.sub(r"\D", "", value).lstrip("0")
                domain = ["|", ("phone", "ilike", digits), *domain]
        return ["!", *domain] if operator.startswith(("!", "not")) else domain

    # === ABOUT WHAT ===#

    def _subjects_of(self):
        """Give what messages are about, as far as it is there and the user may read it.

        :return: {(model, id): record}, one query per model
        :rtype: dict
        """
        ids = {}
        for message in self:
            if message.res_id and message.res_model in self.env:
                ids.setdefault(message.res_model, set()).add(message.res_id)
        found = {}
        for model, wanted in ids.items():
            try:
                records = self.env[model].with_context(active_test=False).search([("id", "in", list(wanted))])
            except AccessError:
                continue
            found.update({(model, record.id): record for record in records})
        return found

    @api.depends("res_model", "res_id")
    def _compute_subject_name(self):
        subjects = self._subjects_of()
        for message in self:
            subject = subjects.get((message.res_model, message.res_id))
            message.subject_name = subject.display_name if subject else False

    @api.model
    def _search_subject_name(self, operator, value):
        """Find messages by the names of the permits or documents that they are about."""
        negative = operator.startswith(("!", "not"))
        positive = "ilike" if isinstance(value, str) else "!="
        domains = [self.env[QUEUE]._search_subject(model, positive, value) for model in SUBJECTS]
        return [*(["!"] if negative else []), "|", *domains[0], *domains[1]]

    def action_open_subject(self):
        """Open what the message is about.

        :raise AccessError: the user is no notification user
        :raise UserError: it is gone, or the user may not see it
        """
        self.env["sicantik.notification.access"]._check_user()
        self.ensure_one()
        if not self._subjects_of():
            raise UserError(
                _("What this message is about has been deleted, or is not for you to see. The text is below.")
            )
        return open_form(self.res_model, self.res_id)

    # === TEXT AND STORY ===#

    @api.depends(lambda self: [name for name in TEXT_FIELDS if name in self._fields])
    def _compute_shown_text(self):
        texts = self.env["sicantik.notification.story"]._texts(self)
        for message in self:
            message.shown_text = texts.get(message.id)

    def _compute_story(self):
        stories = self.env["sicantik.notification.story"]._stories(self)
        for message in self:
            message.story = stories.get(message.id)
