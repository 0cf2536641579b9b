import logging
from urllib.parse import quote

from odoo import http
from odoo.exceptions import AccessError
from odoo.http import request

from . import doors

_logger = logging.getLogger(__name__)

MAX_RECORDS = 1000
MAX_ID = 2**31 - 1
MAX_KEY = 200
# They are kept with each message; the text of a template has no room for longer ones.
MAX_VALUES = 50
MAX_TEXT = 1024
NAMES = {"res_ids", "values", "event_key"}


class TriggerController(http.Controller):
    """The door through which other systems fire triggers of the type `api`."""

    @http.route(
        "/sicantik/api/v1/triggers/<string:code>/fire",
        type="sicantik_door",
        auth="none",
        methods=["POST"],
        csrf=False,
        save_session=False,
    )
    def fire(self, code):
        """Fire a trigger for records.

        The body is `{"res_ids": [1, 2], "values": {"officer": "Ani"}, "event_key": "import-7"}`; the last two
        may be missing. With an `event_key` that came before for the same record and recipient, nothing is
        queued again.

        :param str code: code of the trigger
        :return: JSON, the result of `fire`
        """
        trigger = (
            request.env["sicantik.notification.trigger"]
            .sudo()
            .search([("code", "=", code.replace("\x00", "")), ("trigger_type", "=", "api")])
        )
        if not trigger or trigger.model_name not in request.env:
            raise doors.refused(404, "There is no active API trigger with this code.")
        ids, values, event_key = self._read(doors.body())
        result = request.env["sicantik.notification.trigger"].fire(
            trigger.code,
            self._records(trigger.model_name, ids),
            values=values,
            event_key=event_key and f"api:{quote(event_key, safe='')}",
        )
        _logger.info(
            "Trigger %s by HTTP, user %s: %s records, %s messages queued",
            trigger.code,
            request.env.uid,
            len(ids),
            result["count"],
        )
        return doors.answer(result)

    def _read(self, body):
        """Check the body of a call.

        :return: ids without repetitions, values, event key or None
        :raise HTTPException: 400 with what is wrong
        """
        if not isinstance(body, dict) or not set(body) <= NAMES:
            raise doors.refused(
                400, "Send a JSON object with “res_ids”, and with “values” and “event_key” if you like."
            )
        ids = body.get("res_ids")
        if (
            not isinstance(ids, list)
            or not 1 <= len(ids) <= MAX_RECORDS
            or not all(type(id_) is int and 0 < id_ <= MAX_ID for id_ in ids)
        ):
            raise doors.refused(
                400, f"Give “res_ids” as a list of 1 to {MAX_RECORDS} ids, which are whole numbers."
            )
        values = body.get("values", {})
        if not isinstance(values, dict) or not all(
            value is None or isinstance(value, str | int | float) for value in values.values()
        ):
            raise doors.refused(400, "Give “values” as an object of texts, numbers, true, false or null.")
        texts = [text for text in (*values, *values.values()) if isinstance(text, str)]
        if len(values) > MAX_VALUES or any(len(text) > MAX_TEXT for text in texts):
            raise doors.refused(
                400,
                f"Give {MAX_VALUES} “values” at most, with names and texts of {MAX_TEXT} characters at most.",
            )
        event_key = body.get("event_key")
        if "event_key" in body and not (isinstance(event_key, str) and 0 < len(event_key) <= MAX_KEY):
            raise doors.refused(400, f"Give “event_key” as a text of 1 to {MAX_KEY} characters.")
        return list(dict.fromkeys(ids)), values, event_key

    def _records(self, model_name, ids):
        """Give the records if the key's user may read all of them; which of them are missing is not said.

        :raise HTTPException: 403
        """
        model = request.env[model_name].with_context(active_test=False)
        try:
            readable = set(model.search([("id", "in", ids)]).ids)
        except AccessError:
            readable = set()
        if not readable.issuperset(ids):
            raise doors.refused(
                403, "One of the records does not exist, or the key's user may not read it. Nothing was done."
            )
        return request.env[model_name].browse(ids)
