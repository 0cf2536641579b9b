from . import access_log
from . import doors
from . import auto_message
from . import trigger
from . import webhook
