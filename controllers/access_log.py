"""What the server's access log does not tell: the secret part of webhook addresses.

For the services that do not sign, whoever knows the address can speak for them; the log is read by others.
"""

import logging
import re

_SECRET = re.compile(r"(/sicantik/webhook/[^/\s\"?]+/)[^/\s\"?]+")


def _hide(value):
    return _SECRET.sub(r"\1***", value) if isinstance(value, str) else value


class HideTokens(logging.Filter):
    """Lets every line through, without secret path tokens."""

    def filter(self, record):
        record.msg = _hide(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(map(_hide, record.args))
        return True


_access_log = logging.getLogger("werkzeug")
if not any(type(one).__name__ == HideTokens.__name__ for one in _access_log.filters):
    _access_log.addFilter(HideTokens())
