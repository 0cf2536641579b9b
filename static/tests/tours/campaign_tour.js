/** @odoo-module **/

import { registry } from "@web/core/registry";

const MODULE = "sicantik_notification_automation";
const menu = (name) => `[data-menu-xmlid="${MODULE}.${name}"]`;
const status = (state) => `.o_statusbar_status:has(.o_arrow_button_current[data-value="${state}"])`;
const wait = (content, trigger) => ({ content, trigger, run: () => {} });
const click = (content, trigger) => ({ content, trigger, run: "click" });
const type = (content, trigger, text) => ({ content, trigger, run: (h) => (h.edit ? h.edit(text) : h.text(text)) });
const tab = (name) => click(`tab ${name}`, `.o_form_view .o_notebook_headers .nav-link:contains('${name}')`);
const choose = (field, text) => [
    type(`look for ${text}`, `.o_field_widget[name='${field}'] input`, text),
    click(`choose ${text}`, `.o-autocomplete--dropdown-menu .o-autocomplete--dropdown-item:contains('${text}') a`),
];

/** Seed 2, trial 2, in its own words: a campaign is filled in, started and followed. */
registry.category("web_tour.tours").add("sicantik_campaign", {
    test: true,
    steps: () => [
        click("open the menu", `.o_menu_sections ${menu("sicantik_notification_menu")}:contains('Notifikasi Otomatis')`),
        click("Kampanye", `${menu("sicantik_notification_campaign_menu")}:contains('Kampanye')`),
        wait("the board", ".o_kanban_view"),
        click("Buat", ".o_control_panel .o-kanban-button-new"),
        type("Nama Kampanye", ".o_field_widget[name='name'] input, .o_field_widget[name='name'] textarea", "Test Kampanye Reminder"),
        tab("Informasi Dasar"),
        ...choose("rule_id", "Reminder Masa Berlaku Izin"),
        tab("Target"),
        wait("Model Target", ".o_field_widget[name='target_model'] select:has(option[value='sicantik.permit'])"),
        type("Domain Target", ".o_field_widget[name='target_domain'] input", "[('permit_number', '=', 'Tour 7.2'), ('partner_id', '!=', False)]"),
        tab("Override Template (Opsional)"),
        tab("Penjadwalan"),
        click("Mulai Kampanye", ".o_form_view button[name='action_start']:contains('Mulai Kampanye')"),
        click("yes", ".modal-footer .btn-primary"),
        wait("Berjalan", status("running")),
        tab("Statistik"),
        wait("Total Target", ".o_field_widget[name='total_targets']:contains('3')"),
        wait("Total Pending", ".tab-pane .o_field_widget[name='total_pending']:contains('3')"),
        wait("the bar says it too", ".o_sicantik_legend:contains('Total Terkirim')"),
        click("Jeda", ".o_form_view button[name='action_pause']"),
        wait("Dijeda", status("paused")),
        click("Lanjutkan", ".o_form_view button[name='action_resume']"),
        wait("Berjalan again", status("running")),
        click("whom it writes to", ".o_form_view .oe_stat_button:has(.fa-users)"),
        wait("three people", ".o_list_view .o_data_row:nth-child(3)"),
        click("one of them", ".o_list_view .o_data_row:contains('Tour Applicant 1') .o_data_cell[name='phone']"),
        click("send it now", ".o_form_view button[name='action_process']"),
        wait("it is sent", status("sent")),
    ],
});

/** From the list of permits: two are selected, the window says what would happen, the campaign runs. */
registry.category("web_tour.tours").add("sicantik_selection", {
    test: true,
    steps: () => [
        wait("the list", ".o_list_view .o_data_row:contains('Tour Applicant 1')"),
        click("select all", ".o_list_view thead .o_list_record_selector input"),
        click("the menu", ".o_cp_action_menus .dropdown-toggle:contains('Action'), .o_cp_action_menus .dropdown-toggle:has(.fa-cog)"),
        click("the campaign", ".o-dropdown--menu .o-dropdown-item:contains('Send Campaign'), .o-dropdown--menu .dropdown-item:contains('Send Campaign')"),
        ...choose("rule_id", "Reminder Masa Berlaku Izin"),
        wait("two would hear, one has no number", ".o_field_widget[name='send_count']:contains('2')"),
        wait("and it says why", ".o_field_widget[name='outlook']:contains('No Usable Number')"),
        click("start it", ".modal-footer button[name='action_start']"),
        wait("it runs", status("running")),
        wait("three targets", ".o_field_widget[name='total_targets']:contains('3')"),
    ],
});
