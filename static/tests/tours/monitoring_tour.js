/** @odoo-module **/

import { registry } from "@web/core/registry";

const MODULE = "sicantik_notification_automation";
const menu = (name) => `[data-menu-xmlid="${MODULE}.${name}"]`;
const row = ".o_list_view .o_data_row:contains('Tour Applicant')";
const story = ".o_form_view .o_field_widget[name='story']";
const see = (content, trigger) => ({ content, trigger, run: () => {} });
const click = (content, trigger) => ({ content, trigger, run: "click" });
const type = (text) => (helpers) => (helpers.edit ? helpers.edit(text) : helpers.text(text));

const open = (name, shown) => [
    click("open the menu of the notifications", `.o_menu_sections ${menu("sicantik_notification_menu")}`),
    click(`open ${name}`, menu(name)),
    see(`${name} is there`, shown),
];
const view = (name, shown) => [
    click(`switch to ${name}`, `.o_switch_view.o_${name}`),
    see(`${name} is there`, shown),
];
const back = click("back to the list", ".o_breadcrumb .o_back_button, .breadcrumb-item.o_back_button");

/**
 * Somebody looks after the messages: what waits and why, what failed, all of them at once, and the whole story.
 */
registry.category("web_tour.tours").add("sicantik_monitoring", {
    test: true,
    steps: () => [
        see("both messages", `${row}:contains('Failed')`),
        ...view("kanban", ".o_kanban_group .o_kanban_record:contains('Tour Applicant')"),
        ...view("graph", ".o_graph_view canvas"),
        ...view("list", row),
        click("open the one that failed", `${row}:contains('Failed') .o_data_cell[name='partner_id']`),
        see("it says why", ".o_form_view .alert-danger:contains('Recipient Refused')"),
        see("and what to do", ".o_form_view .alert-danger:contains('Correct it in the contact')"),
        see("and offers it", ".o_form_view .alert-danger button[name='action_mend']:contains('Open Contact')"),
        see("its story", `${story} li:contains('refused it')`),
        see("and its text", ".o_form_view .o_sicantik_bubble:contains('Tour Applicant')"),
        back,
        click("select all", ".o_list_view thead .o_list_record_selector input"),
        click("retry", ".o_control_panel button[name='action_retry'], .o_list_buttons button[name='action_retry']"),
        see("how many, and why not all", ".o_notification:contains('Tried again: 1 of 2')"),
        see("it waits again", ".o_list_view:not(:has(.o_data_row:contains('Failed')))"),
        click("open one", `${row} .o_data_cell[name='partner_id']`),
        see("it says what comes next", ".o_form_view .alert-info:contains('next run')"),
        click("send it now", ".o_form_view button[name='action_process']"),
        see("it is sent", `${story} li:contains('took it')`),
        ...open("sicantik_notification_log_menu", `${row}:contains('Sent')`),
        ...view("pivot", ".o_pivot_view table"),
        ...view("graph", ".o_graph_view canvas"),
        ...view("list", row),
        click("the whole story", `${row}:contains('Sent') button[name='action_open_story']`),
        see("from its beginning", `${story} li:first:contains('Put into the queue')`),
    ],
});

/**
 * Seed 2, trial 3: test send from a rule, by its Action menu.
 */
registry.category("web_tour.tours").add("sicantik_test_send", {
    test: true,
    steps: () => [
        click("open the rule", ".o_list_view .o_data_row:contains('Tour') .o_data_cell[name='name']"),
        click("open the menu Action", ".o_form_view .o_cp_action_menus .dropdown-toggle"),
        click("Test Send", ".o_menu_item:contains('Test Send'), .dropdown-item:contains('Test Send')"),
        see("the parameters are there", ".modal-content .o_field_widget[name='context_values'] textarea"),
        {
            content: "to the applicant",
            trigger: ".modal-content .o_field_widget[name='partner_id'] input",
            run: type("Tour Applicant"),
        },
        click("that one", ".o-autocomplete--dropdown-item a:contains('Tour Applicant')"),
        see("by whom", ".modal-content .o_field_widget[name='outlook']:contains('Tour')"),
        see("and what", ".modal-content .o_sicantik_bubble:contains('Tour Applicant')"),
        click("send", ".modal-content .modal-footer button[name='action_send_test']"),
        see("it is sent", ".modal-content .alert-success:contains('Sent by Tour')"),
        click("open the log", ".modal-content button[name='action_open_log']"),
        see("it is there", `${row}:contains('Sent')`),
    ],
});
