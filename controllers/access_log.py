"""The server's access log, without what only the provider and we may know."""

import logging
import re

# The rest of the line's address: the secret path, and Meta's verify token after it.
SECRET_PATH = re.compile(r"(/sicantik/webhook/\d+/)[^\s\"']+")


class HideSecretPaths(logging.Filter):
    """Leaves each line in the log, with the addresses of webhooks cut off before their secret."""

    def filter(self, record):
        record.msg = self._hide(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(map(self._hide, record.args))
        return True

    def _hide(self, value):
        return SECRET_PATH.sub(r"\1…", value) if isinstance(value, str) else value


logging.getLogger("werkzeug").addFilter(HideSecretPaths())
