"""What the HTTP doors for other programs have in common: keys, bodies, refusals.

A route is a door when its type is `sicantik_door`. Whoever knocks brings `Authorization: Bearer <API key of a
notification manager>`. Nothing else counts, no session and no cookie, so no other website can make somebody's
browser knock. The key is looked at before the body, and a refused request changes nothing.

Answers are JSON; a refusal is `{"error": <code>, "message": <what to do>}`, in English, for it is read by
programs and those who write them (`static/openapi.json` describes all of them).
"""

import json
import logging
import math
import re

from werkzeug import exceptions

from odoo.exceptions import AccessDenied, AccessError, UserError
from odoo.http import request

from ..models.sicantik_notification_access import MANAGER
from .raw import MAX_BODY, RawDispatcher, read_body

_logger = logging.getLogger(__name__)

REALM = "SICANTIK Notification Automation"
# Odoo's keys are hexadecimal; what is no printable ASCII, or endless, the checks behind cannot take.
_BEARER = re.compile(r"bearer[ ]+([!-~]{8,256})[ ]*", re.IGNORECASE)
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    413: "too_large",
    500: "server_error",
}


class DoorDispatcher(RawDispatcher):
    """Hands a request to its door when its key is good."""

    routing_type = "sicantik_door"

    def dispatch(self, endpoint, args):
        """Let the request in."""
        enter()
        return super().dispatch(endpoint, args)

    def handle_error(self, exc):
        """Answer with JSON whatever happened."""
        if isinstance(exc, exceptions.HTTPException):
            return exc
        if isinstance(exc, AccessError | AccessDenied):
            return refused(403, str(exc))
        if isinstance(exc, UserError):
            return refused(400, str(exc))
        return refused(500, "Try again later. The reason is in the log of the server.")


def refused(status, message):
    """Make the exception that answers a request with a refusal and undoes its transaction.

    :param int status: HTTP status
    :param str message: what to do about it; nothing that the caller may not know
    :rtype: werkzeug.exceptions.HTTPException
    """
    headers = [("WWW-Authenticate", f'Bearer realm="{REALM}"')] if status == 401 else []
    response = request.make_json_response(
        {"error": _CODES[status], "message": message}, headers=headers, status=status
    )
    return exceptions.default_exceptions[status](response=response)


def enter():
    """Check the key and read the body; from here on the request acts as the key's user.

    :raise HTTPException: 401 no such key, 403 the key of somebody else, 413 the body is larger than
        `MAX_BODY`
    """
    if not request.db:
        raise refused(404, "Say which database is meant: the server has several, or none.")
    header = _BEARER.fullmatch(request.httprequest.headers.get("Authorization", ""))
    user_id = header and request.env["res.users.apikeys"]._check_credentials(scope="rpc", key=header[1])
    if not user_id:
        _logger.info("A call was refused: no valid API key")
        raise refused(401, "Send the header “Authorization: Bearer <API key>” with a valid key of Odoo.")
    request.update_env(user=user_id, context={})
    request.update_env(context=dict(request.env["res.users"].context_get()))
    if not request.env.user.has_group(MANAGER):
        _logger.info("A call was refused: user %s is no notification manager", user_id)
        raise refused(403, "Use the API key of a user who is a Notification Manager.")
    if read_body(request.httprequest) is None:
        raise refused(413, f"Send {MAX_BODY} bytes at most; divide what is more among several calls.")


def body():
    """Give the body as JSON that the database can hold.

    :return: the value; None when the body is empty
    :raise HTTPException: 400 it is no JSON, or holds NUL characters, lone surrogates or infinite numbers
    """
    raw = read_body(request.httprequest)
    if not raw.strip():
        return None
    try:
        value = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse, parse_float=_finite)
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError):  # those of encodings are ValueErrors too
        raise refused(400, "Send the body as JSON in UTF-8.") from None
    if "\\u0000" in text:
        raise refused(400, "Leave NUL characters (\\u0000) out of the body.")
    return value


def _refuse(constant):
    raise ValueError(constant)


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def answer(values):
    """Answer with JSON and status 200.

    :param dict values: what JSON can hold
    """
    return request.make_json_response(values)
