from . import sicantik_notification_compose_wizard
from . import sicantik_notification_compose_line
from . import sicantik_notification_dry_run
from . import sicantik_notification_dry_run_line
from . import sicantik_notification_preview_wizard
from . import sicantik_notification_selection_wizard
from . import sicantik_notification_test_wizard
