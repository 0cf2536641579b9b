"""Doors that get the body as it came over the wire."""

from werkzeug.exceptions import HTTPException

from odoo.http import HttpDispatcher

# A door takes no more; of what is larger so much is read, so that the sender hears the answer.
MAX_BODY = 1024 * 1024
READ_AT_MOST = 8 * MAX_BODY
CHUNK = 64 * 1024
BODY = "sicantik.body"


class RawDispatcher(HttpDispatcher):
    """Routes of type `sicantik_raw`: the endpoint is given what its path says and nothing else.

    Signatures are made over the raw body, which reading form fields would use up; and what a stranger writes
    into a form or a query must not become an argument of ours. There is no session to protect, so no token
    of one is asked for.
    """

    routing_type = "sicantik_raw"

    def dispatch(self, endpoint, args):
        self.request.params = dict(args)
        return self.request.registry["ir.http"]._dispatch(endpoint)


def read_body(httprequest):
    """Read the body of a request, whether it says its length or not.

    A request that is tried again after a collision in the database finds what was read the first time.

    :param httprequest: `request.httprequest`
    :return: the body, None when it is larger than `MAX_BODY`
    :rtype: bytes | None
    """
    environ = httprequest.environ
    if BODY not in environ:
        try:
            environ[BODY] = _read(httprequest)
        except HTTPException:  # the server has a limit of its own
            environ[BODY] = None
    return environ[BODY]


def _read(httprequest):
    # The server's own wrapper offers the whole body only, however long a stream without a length is.
    stream = httprequest._HTTPRequest__wrapped.stream
    body, total = bytearray(), 0
    while total <= READ_AT_MOST:
        part = stream.read(CHUNK)
        if not part:
            return bytes(body) if total <= MAX_BODY else None
        total += len(part)
        if total <= MAX_BODY:
            body += part
    return None
