/** @odoo-module **/

import { registry } from "@web/core/registry";

const MODULE = "sicantik_notification_automation";
const menu = (name) => `[data-menu-xmlid="${MODULE}.${name}"]`;
const timeout = 20000; // on a busy machine an answer takes its time
const wait = (content, trigger) => ({ content, trigger, timeout, run: () => {} });
const click = (content, trigger) => ({ content, trigger, timeout, run: "click" });
const type = (content, trigger, text) => ({
    content,
    trigger,
    run: (helpers) => (helpers.edit ? helpers.edit(text) : helpers.text(text)),
});
const select = (content, trigger, value) => ({
    content,
    trigger,
    run: (helpers) => (helpers.select ? helpers.select(value) : helpers.text(value)),
});
const widget = (name) => `.o_form_view .o_field_widget[name='${name}']`;
const away = () => click("go on to another field", `${widget("code")} input`);
const openMenu = (name, content) => [
    click("open the menu", `.o_menu_sections ${menu("sicantik_notification_menu")}`),
    click(content, menu(name)),
];

/** A manager writes a trigger, tries it on a permit, and makes a rule from a template. */
registry.category("web_tour.tours").add("sicantik_rules", {
    test: true,
    steps: () => [
        // The trigger
        click("open the trigger", ".o_list_view .o_data_row:contains('tour_state') .o_data_cell[name='code']"),
        wait("it says what it does", `${widget("summary")}:contains('Permit')`),
        type("a status as seed 2 writes it", `${widget("state_from")} input`, "draft"),
        away(),
        wait("its label is shown", `${widget("state_from")} [data-value='draft']:contains('Draft')`),
        type("one by its label", `${widget("state_to")} input`, "Approved"),
        away(),
        wait("it is taken", `${widget("state_to")} [data-value='approved']`),
        type("another one", `${widget("state_to")} input`, "active"),
        away(),
        wait("both are there", `${widget("state_to")}:has([data-value='approved']) [data-value='active']`),
        click("one too many", `${widget("state_to")} [data-value='active'] button`),
        wait("it is gone", `${widget("state_to")}:not(:has([data-value='active']))`),
        wait("the condition can be built", `${widget("condition_domain")} .o_sicantik_as_text`),
        click("it can be written, too", `${widget("condition_domain")} .o_sicantik_as_text`),
        type("with a computed value", `${widget("condition_domain")} input`, "[('create_date', '<=', datetime.now())]"),
        away(),
        wait("then it stays a text", `${widget("condition_domain")}:not(:has(button)) input`),
        // Try it on…
        click("try it", ".o_form_view button[name='action_try']"),
        wait("it would fire", ".modal-content .o_sicantik_trial[data-fires='yes']"),
        wait("the message is shown", ".modal-content .o_sicantik_bubble:contains('Tour Applicant')"),
        select("from another status", ".modal-content .o_field_widget[name='old_state'] select", "submitted"),
        click("try again", ".modal-content .modal-footer button[name='action_try']"),
        wait("it would not", ".modal-content .o_sicantik_trial[data-fires='no'] [data-verdict='no']"),
        click("close", ".modal-content .modal-footer button[special='cancel'], .modal-content .modal-footer .btn-secondary"),
        wait("back", "body:not(:has(.modal)) .o_form_view"),
        // The rule
        ...openMenu("sicantik_notification_rule_menu", "open the rules"),
        click("from a template", ".o_control_panel button:contains('New Rule from Template'), .o_list_buttons button:contains('New Rule from Template')"),
        click(
            "a scenario",
            ".o_kanban_record:contains('Staff Member in Charge') button[name='action_use']"
        ),
        wait("there is such a rule already", ".modal-content .alert-warning .o_field_widget[name='notice']"),
        type("its name", ".modal-content .o_field_widget[name='name'] input", "Tour Rule"),
        click("create it", ".modal-content .modal-footer button[name='action_create']"),
        wait("it says what it does", `body:not(:has(.modal)) ${widget("summary")}:contains('switched off')`),
        click("its conditions", ".o_form_view .o_notebook .nav-link[name='conditions']"),
        wait("are in the builder", `${widget("condition_domain")} .o_sicantik_as_text`),
        click("its recipients", ".o_form_view .o_notebook .nav-link[name='recipients']"),
        wait("are said by their label", `${widget("recipient_field")} .o_model_field_selector:contains('Responsible')`),
        click("choose another field", `${widget("recipient_field")} .o_model_field_selector`),
        click(
            "the applicant",
            ".o_model_field_selector_popover [data-name='partner_id'] .o_model_field_selector_popover_item_name"
        ),
        wait("it says who", `${widget("summary")}:contains('Applicant')`),
        click("save", ".o_form_button_save"),
        wait("saved", ".o_form_view .o_form_saved, .o_form_view:has(.o_form_status_indicator_buttons.invisible)"),
    ],
});
