from . import test_capture
from . import test_dispatcher
from . import test_queue
from . import test_concurrency
from . import test_tours
from . import test_rule
from . import test_trigger
