/** @odoo-module **/

import { registry } from "@web/core/registry";

const MODULE = "sicantik_notification_automation";
const menu = (name) => `[data-menu-xmlid="${MODULE}.${name}"]`;
const wait = (content, trigger) => ({ content, trigger, run: () => {} });
const click = (content, trigger) => ({ content, trigger, run: "click" });
const overview = () => [
    click("open the menu", `.o_menu_sections ${menu("sicantik_notification_menu")}`),
    click("open the overview", menu("sicantik_notification_overview_menu")),
];

/** A manager of a new office takes the first step, puts the checklist away, and brings it back. */
registry.category("web_tour.tours").add("sicantik_first_steps", {
    test: true,
    steps: () => [
        ...overview(),
        wait("nothing is done", ".o_sicantik_steps:contains('0 of 5')"),
        wait("the first step is the next one", ".o_sicantik_next[data-step='provider']"),
        click("connect a provider", "[data-step='provider'] button.btn-primary"),
        wait("a new provider opens", ".o_form_view .o_field_widget[name='provider_type']"),
        click("go back", ".o_breadcrumb .o_back_button a, .o_breadcrumb a"),
        click("choose a rule", "[data-step='rule'] button"),
        wait("the rules are there, switched off", ".o_list_view .o_data_row:eq(5)"),
        click("go back", ".o_breadcrumb .o_back_button a, .o_breadcrumb a"),
        click("put it away", ".o_sicantik_put_away"),
        wait("it is gone", ".o_sicantik_overview:not(:has(.o_sicantik_steps))"),
        click("bring it back", ".o_sicantik_bring_back"),
        wait("it is there again", ".o_sicantik_steps [data-step='message']"),
        click("open the menu", `.o_menu_sections ${menu("sicantik_notification_menu")}`),
        click("open the auto messages", menu("sicantik_auto_message_menu")),
        wait("an empty list teaches", ".o_view_nocontent:contains('Plan a message')"),
        click("open the menu", `.o_menu_sections ${menu("sicantik_notification_menu")}`),
        click("open the campaigns", menu("sicantik_notification_campaign_menu")),
        click("follow the link of the empty list", ".o_view_nocontent a:contains('rule')"),
        wait("the rules are there", ".o_list_view .o_data_row:eq(5)"),
    ],
});

/** All is done: the checklist says so once. */
registry.category("web_tour.tours").add("sicantik_first_steps_done", {
    test: true,
    steps: () => [
        ...overview(),
        wait("all is done", ".o_sicantik_steps_done:contains('5 of 5')"),
        click("refresh", ".o_sicantik_refresh:enabled"),
        wait("it stays for this visit", ".o_sicantik_steps_done"),
        click("open permits", `.o_menu_sections ${menu("sicantik_permit_menu")}`),
        wait("the permits are there", ".o_breadcrumb:contains('Permits')"),
        ...overview(),
        wait("it has said so once", ".o_sicantik_overview:has([data-period='today']):not(:has(.o_sicantik_steps))"),
    ],
});
