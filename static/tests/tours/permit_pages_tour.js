/** @odoo-module **/

import { registry } from "@web/core/registry";

const type = (text) => (helpers) => (helpers.edit ? helpers.edit(text) : helpers.text(text));
const row = ".o_list_view .o_data_row:contains('Tour Applicant')";
const messages = ".o_field_widget[name='notification_ids']";

const view = (name, shown) => [
    { content: `switch to ${name}`, trigger: `.o_switch_view.o_${name}`, run: "click" },
    { content: `${name} is there`, trigger: shown, run: () => {} },
];

/**
 * A clerk approves a permit by its button, sees the message in the tab, sends it, and writes another by hand.
 */
registry.category("web_tour.tours").add("sicantik_permit_pages", {
    test: true,
    steps: () => [
        ...view("calendar", ".o_calendar_view .fc-daygrid-body, .o_calendar_view .fc-day-grid"),
        ...view("pivot", ".o_pivot_view table"),
        ...view("graph", ".o_graph_view canvas"),
        ...view("kanban", ".o_kanban_group .o_kanban_record:contains('Tour Applicant')"),
        ...view("list", row),
        {
            content: "open the permit",
            trigger: `${row} .o_data_cell[name='applicant_name']`,
            run: "click",
        },
        {
            content: "nothing has been sent about it",
            trigger: ".o_form_view button:contains('Messages') .o_stat_value:contains('0')",
            run: () => {},
        },
        {
            content: "approve it",
            trigger: ".o_form_view button[name='action_approve'].btn-primary",
            run: "click",
        },
        {
            content: "the next step is offered, and only that",
            trigger: ".o_form_view:has(button[name='action_activate']):not(:has(button[name='action_approve']))",
            run: () => {},
        },
        {
            content: "the message is counted",
            trigger: ".o_form_view button:contains('Messages') .o_stat_value:contains('1')",
            run: () => {},
        },
        {
            content: "open the tab",
            trigger: ".o_notebook .nav-link[name='messages']",
            run: "click",
        },
        {
            content: "it waits; open it",
            trigger: `${messages} .o_data_row:contains('Pending') .o_data_cell[name='partner_id']`,
            run: "click",
        },
        {
            content: "it is the whole message",
            trigger: ".modal-content .o_field_widget[name='phone']:contains('6281200000088')",
            run: () => {},
        },
        {
            content: "close it",
            trigger: ".modal-content .btn-close",
            run: "click",
        },
        {
            content: "write by hand",
            trigger: "body:not(:has(.modal)) .o_form_view button:contains('Send WhatsApp')",
            run: "click",
        },
        {
            content: "choose a template",
            trigger: ".modal-content .o_field_widget[name='template_id'] input",
            run: type("status_update"),
        },
        {
            content: "that one",
            trigger: ".o-autocomplete--dropdown-item a:contains('(status_update)')",
            run: "click",
        },
        {
            content: "what will happen is shown",
            trigger: ".modal-content .o_field_widget[name='line_ids'] .o_data_row:contains('Tour'):contains('Will Be Sent')",
            run: () => {},
        },
        {
            content: "and the text",
            trigger: ".modal-content .o_field_widget[name='preview']:contains('Status permohonan')",
            run: () => {},
        },
        {
            content: "send",
            trigger: ".modal-content .modal-footer button[name='action_send']",
            run: "click",
        },
        {
            content: "its row is open",
            trigger: ".o_form_view .o_field_widget[name='template_key']:contains('status_update'), .o_form_view .o_field_widget[name='template_key'] input",
            run: () => {},
        },
        {
            content: "back to the permit",
            trigger: ".o_breadcrumb .o_back_button, .breadcrumb-item.o_back_button",
            run: "click",
        },
        {
            content: "both are counted; open all of them",
            trigger: ".o_form_view button:contains('Messages'):has(.o_stat_value:contains('2'))",
            run: "click",
        },
        {
            content: "send the first one now",
            trigger: ".o_list_view .o_data_row:contains('permit_ready') button[name='action_process']",
            run: "click",
        },
        {
            content: "it is sent",
            trigger: ".o_list_view .o_data_row:contains('permit_ready'):contains('Sent')",
            run: () => {},
        },
    ],
});
