/** @odoo-module **/

import { registry } from "@web/core/registry";

const MODULE = "sicantik_notification_automation";
const menu = (name) => `[data-menu-xmlid="${MODULE}.${name}"]`;
const wait = (content, trigger) => ({ content, trigger, run: () => {} });
const click = (content, trigger) => ({ content, trigger, run: "click" });
const back = () => [
    click("go back", ".o_breadcrumb .o_back_button a, .o_breadcrumb a"),
    wait("the numbers are there again", ".o_sicantik_overview [data-period='today']"),
];

/** A clerk opens the overview, looks at what is behind its numbers, and at what mends a failure. */
registry.category("web_tour.tours").add("sicantik_overview", {
    test: true,
    steps: () => [
        click("open the menu", `.o_menu_sections ${menu("sicantik_notification_menu")}`),
        click("open the overview", menu("sicantik_notification_overview_menu")),
        wait(
            "three messages were sent today",
            ".o_sicantik_overview [data-period='today'] [data-series='sent'] .o_sicantik_value:contains('3')"
        ),
        wait("the chart is drawn", ".o_sicantik_chart canvas[aria-label*='3']"),
        wait("an interrupted message needs somebody", ".o_sicantik_attention[data-key='interrupted']"),
        click("open what was sent", "[data-period='today'] [data-series='sent']"),
        wait("they are three", ".o_list_view:has(.o_data_row:eq(2)):not(:has(.o_data_row:eq(3)))"),
        ...back(),
        click("open what failed this week", "[data-period='week'] [data-series='failed']"),
        wait("there is the recipient", ".o_list_view .o_data_row:contains('Overview Applicant')"),
        ...back(),
        click("mend it", ".o_sicantik_reason[data-reason='bad_recipient'] button:contains('Open Contacts')"),
        wait("the contact opens", ".o_form_view .o_field_widget[name='name']"),
        ...back(),
        click("refresh", ".o_sicantik_refresh:enabled"),
        wait("it is refreshed", ".o_sicantik_refresh:enabled"),
    ],
});
