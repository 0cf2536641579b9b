/** @odoo-module **/

import { registry } from "@web/core/registry";

const MODULE = "sicantik_notification_automation";
const menu = (name) => `[data-menu-xmlid="${MODULE}.${name}"]`;
const status = (state) => `.o_statusbar_status:has(.o_arrow_button_current[data-value="${state}"])`;

/**
 * Seed 2, trial 1: a clerk approves a permit, and the message is in the delivery queue, where it is sent.
 */
registry.category("web_tour.tours").add("sicantik_first_road", {
    test: true,
    steps: () => [
        {
            content: "open the permit",
            trigger: ".o_list_view .o_data_row:contains('Tour Applicant') .o_data_cell[name='applicant_name']",
            run: "click",
        },
        {
            content: "it is a draft",
            trigger: status("draft"),
            run: () => {},
        },
        {
            content: "approve it",
            trigger: ".o_statusbar_status button[data-value='approved']",
            run: "click",
        },
        {
            content: "it is approved",
            trigger: status("approved"),
            run: () => {},
        },
        {
            content: "its chatter is there",
            trigger: ".o-mail-Chatter",
            run: () => {},
        },
        {
            content: "open the menu of the notifications",
            trigger: `.o_menu_sections ${menu("sicantik_notification_menu")}`,
            run: "click",
        },
        {
            content: "open the delivery queue",
            trigger: menu("sicantik_notification_queue_menu"),
            run: "click",
        },
        {
            content: "open the message",
            trigger: ".o_list_view .o_data_row:contains('Tour Applicant') .o_data_cell[name='partner_id']",
            run: "click",
        },
        {
            content: "it waits",
            trigger: status("pending"),
            run: () => {},
        },
        {
            content: "send it now",
            trigger: ".o_form_view button[name='action_process']",
            run: "click",
        },
        {
            content: "it is sent",
            trigger: status("sent"),
            run: () => {},
        },
        {
            content: "and cannot be sent again",
            trigger: ".o_form_view:not(:has(button[name='action_process']))",
            run: () => {},
        },
    ],
});
