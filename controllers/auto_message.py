import logging

from odoo import http
from odoo.http import request

from . import doors

_logger = logging.getLogger(__name__)


class AutoMessageController(http.Controller):
    """The doors that an outside cron knocks at (seed 4). Odoo's own scheduled action does the same every
    minute; these are for those who run a cron of their own, or want it done now.
    """

    @http.route(
        ["/api/auto-message-scheduler", "/api/cron-auto-message"],
        type="sicantik_door",
        auth="none",
        methods=["POST"],
        csrf=False,
        save_session=False,
    )
    def process_due(self):
        """Queue the auto messages that are due and send what may leave by now.

        :return: JSON with the numbers of recipients: `processed`, `queued`, `sent`, `failed`, `skipped`
        """
        if not isinstance(doors.body() or {}, dict):
            raise doors.refused(400, "Send no body, or a JSON object.")
        result = request.env["sicantik.auto.message"]._process_due()
        _logger.info(
            "Auto messages by HTTP, user %s: %s queued, %s sent, %s failed, %s skipped",
            request.env.uid,
            *(result[name] for name in ("queued", "sent", "failed", "skipped")),
        )
        return doors.answer(result)
