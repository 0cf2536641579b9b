"""What there is to see: one entry per picture. `docs/img/<language>/<name>.png` is where it goes."""

from __future__ import annotations

import json
from dataclasses import dataclass

LANGUAGES = {"en": "en_US", "id": "id_ID"}
DESKTOP, PHONE = (1366, 768), (390, 844)

Domain = list[list[object]]


@dataclass(frozen=True)
class Step:
    """Something done on the page before the picture: a JavaScript expression and what it is, in words.

    It is tried until it is true.
    """

    script: str
    what: str


def click(selector: str, *texts: str) -> Step:
    """Click the first visible element that a CSS selector finds, and that holds one of the texts."""
    found = (
        f"[...document.querySelectorAll({json.dumps(selector)})].find((el) => el.getClientRects().length"
        f" && !el.disabled && {json.dumps(texts or ('',))}.some((text) => el.textContent.includes(text)))"
    )
    return Step(f"(() => {{ const el = {found}; el?.click(); return el; }})()", " ".join((selector, *texts)))


def shown(selector: str) -> Step:
    """Wait until an element is there."""
    return Step(f"document.querySelector({json.dumps(selector)})", selector)


def fill(selector: str, text: str) -> Step:
    """Write into an input."""
    return Step(
        f"(() => {{ const el = document.querySelector({json.dumps(selector)}); if (!el) return false;"
        f" el.focus(); el.value = {json.dumps(text)};"
        " for (const name of ['input', 'change']) el.dispatchEvent(new Event(name, {bubbles: true}));"
        " return true; })()",
        selector,
    )


def scroll_to(selector: str) -> Step:
    """Bring an element to the top."""
    return Step(
        f"(() => {{ const el = document.querySelector({json.dumps(selector)});"
        " el?.scrollIntoView(); return el; })()",
        selector,
    )


def tab(name: str) -> Step:
    """Open a tab of a form."""
    return click(f".o_notebook .nav-link[name={name}]")


@dataclass(frozen=True)
class Record:
    """The first record that a domain finds.

    :param by_model: search this model instead, and take the record that its `by_field` points at
    """

    model: str
    domain: Domain
    by_model: str = ""
    by_field: str = ""


@dataclass(frozen=True)
class Page:
    """One page.

    :param name: the picture's file name, without its ending
    :param action: the action that opens it, by its external id without the module; `phones` for the page
        of the simulated phones
    :param view: the view to show (`list`, `kanban`, `form` …), the action's first by default
    :param record: the form of this record
    :param steps: what is done on it before the picture is taken
    :param height: of the window, in pixels
    :param phone: also at the width of a phone
    :param app: also for the page in the list of apps
    """

    name: str
    action: str
    view: str | None = None
    record: Record | None = None
    steps: tuple[Step, ...] = ()
    height: int = DESKTOP[1]
    phone: bool = False
    app: bool = False


QUEUE, RULE = "sicantik.notification.queue", "sicantik.notification.rule"
TRIGGER, CAMPAIGN = "sicantik.notification.trigger", "sicantik.notification.campaign"
PERMIT, DOCUMENT = "sicantik.permit", "sicantik.document"
PROVIDER, TEMPLATE = "sicantik.whatsapp.provider", "sicantik.whatsapp.template.master"
LOG, AUTO = "sicantik.notification.log", "sicantik.auto.message"

PAGES = (
    Page("overview", "sicantik_notification_overview_action", height=1000, phone=True, app=True),
    # Permits and documents
    Page("permits", "sicantik_permit_action", view="list"),
    Page("permits-kanban", "sicantik_permit_action", view="kanban"),
    Page(
        "permit",
        "sicantik_permit_action",
        record=Record(
            PERMIT, [["state", "=", "sent"], ["permit_id.state", "=", "approved"]], QUEUE, "permit_id"
        ),
        steps=(tab("messages"),),
        height=900,
        phone=True,
        app=True,
    ),
    Page(
        "send-whatsapp",
        "sicantik_permit_action",
        record=Record(PERMIT, [["state", "=", "processing"], ["partner_id.whatsapp_e164", "!=", False]]),
        steps=(
            click(".o_statusbar_buttons button", "WhatsApp"),
            shown(".modal .o_form_view .o_field_widget"),
        ),
    ),
    Page("documents", "sicantik_document_action", view="kanban"),
    # Triggers and rules
    Page("triggers", "sicantik_notification_trigger_action"),
    Page(
        "trigger",
        "sicantik_notification_trigger_action",
        record=Record(TRIGGER, [["code", "=", "permit_state_change"]]),
        height=900,
    ),
    Page("rules", "sicantik_notification_rule_action"),
    Page(
        "rule",
        "sicantik_notification_rule_action",
        record=Record(RULE, [["template_key", "=", "permit_ready"], ["active", "=", True]]),
        app=True,
        phone=True,
    ),
    Page(
        "rule-recipients",
        "sicantik_notification_rule_action",
        record=Record(RULE, [["template_key", "=", "document_pending"], ["active", "=", True]]),
        steps=(tab("recipients"),),
    ),
    Page(
        "rule-scheduling",
        "sicantik_notification_rule_action",
        record=Record(RULE, [["template_key", "=", "permit_ready"], ["active", "=", True]]),
        steps=(tab("scheduling"),),
    ),
    Page(
        "rule-limits",
        "sicantik_notification_rule_action",
        record=Record(RULE, [["template_key", "=", "permit_ready"], ["active", "=", True]]),
        steps=(tab("limits"),),
    ),
    Page(
        "try",
        "sicantik_notification_rule_action",
        record=Record(RULE, [["template_key", "=", "permit_ready"], ["active", "=", True]]),
        steps=(
            click("button[name=action_try]"),
            fill(".modal .o_field_widget[name=resource_ref] input", "Hadi"),
            click(".o-autocomplete--dropdown-item a", "Hadi"),
            click(".modal-footer button[name=action_try]"),
            shown(".modal .o_sicantik_trial"),
        ),
        height=1000,
        app=True,
    ),
    Page(
        "new-rule",
        "sicantik_notification_rule_action",
        steps=(
            click(".o_control_panel button", "New Rule from Template", "Aturan Baru dari Template"),
            shown(".o_sicantik_scenarios .o_kanban_record"),
        ),
        height=900,
    ),
    Page(
        "test-send",
        "sicantik_notification_rule_action",
        record=Record(RULE, [["template_key", "=", "permit_ready"], ["active", "=", True]]),
        steps=(click("button[name=action_test_send]"), shown(".modal .o_form_view .o_field_widget")),
    ),
    # Campaigns and planned messages
    Page("campaigns", "sicantik_notification_campaign_action"),
    Page(
        "campaign",
        "sicantik_notification_campaign_action",
        record=Record(CAMPAIGN, [["state", "in", ["running", "paused", "completed"]]]),
        steps=(tab("statistics"),),
        height=900,
        app=True,
    ),
    Page(
        "campaign-target",
        "sicantik_notification_campaign_action",
        record=Record(CAMPAIGN, [["state", "=", "draft"]]),
        steps=(tab("target"),),
    ),
    Page(
        "dry-run",
        "sicantik_notification_campaign_action",
        record=Record(CAMPAIGN, [["state", "=", "draft"]]),
        steps=(click("button[name=action_dry_run]"), shown(".modal .o_form_view .o_data_row")),
    ),
    Page(
        "send-campaign",
        "sicantik_permit_action",
        view="list",
        steps=(
            *(click(f".o_data_row:nth-child({row}) .o_list_record_selector input") for row in range(2, 8)),
            click(".o_cp_action_menus .dropdown-toggle, .o_cp_action_menus button"),
            click(".dropdown-menu .dropdown-item", "Send Campaign", "Kirim Kampanye"),
            fill(".modal .o_field_widget[name=rule_id] input", "Demo"),
            click(".o-autocomplete--dropdown-item a", "Demo"),
            shown(".modal .o_field_widget[name=send_count]"),
        ),
        height=900,
    ),
    Page("auto-messages", "sicantik_auto_message_action"),
    # Monitoring
    Page("queue", "sicantik_notification_queue_action", view="list", phone=True, app=True),
    Page("queue-kanban", "sicantik_notification_queue_action", view="kanban"),
    Page(
        "message",
        "sicantik_notification_queue_action",
        record=Record(QUEUE, [["state", "=", "sent"], ["attempt_count", ">", 0]]),
        height=900,
        phone=True,
    ),
    Page("log", "sicantik_notification_log_action", view="list"),
    Page("log-graph", "sicantik_notification_log_action", view="graph"),
    Page("scheduled-actions", "ir_cron_action"),
    Page("blacklist", "sicantik_notification_blacklist_action"),
    # Providers, templates, settings
    Page("providers", "sicantik_whatsapp_provider_action"),
    Page(
        "provider",
        "sicantik_whatsapp_provider_action",
        record=Record(PROVIDER, [["provider_type", "=", "fonnte"]]),
        height=900,
    ),
    Page("templates", "sicantik_whatsapp_template_master_action"),
    Page(
        "template",
        "sicantik_whatsapp_template_master_action",
        record=Record(TEMPLATE, [["template_key", "=", "permit_ready"]]),
        height=900,
        app=True,
    ),
    Page(
        "settings",
        "base_setup.action_general_configuration",
        steps=(
            click(".settings_tab [data-key=sicantik_notification_automation]"),
            shown("#quiet_hours, [name=quiet_hours]"),
        ),
        height=1000,
    ),
    Page("phones", "phones"),
)
