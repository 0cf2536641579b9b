/** @odoo-module **/

import { registry } from "@web/core/registry";

const MODULE = "sicantik_notification_automation";
const wait = (content, trigger) => ({ content, trigger, run: () => {} });
const click = (content, trigger) => ({ content, trigger, run: "click" });
const type = (content, trigger, text) => ({
    content,
    trigger,
    run: (helpers) => (helpers.edit ? helpers.edit(text) : helpers.text(text)),
});
/** Have a box hold a text as typing does, before it is left. */
const typing = (content, trigger, text) => ({
    content,
    trigger,
    run: () => {
        const box = document.querySelector(trigger);
        box.focus();
        box.value = text;
        box.dispatchEvent(new InputEvent("input", { bubbles: true }));
    },
});
const editor = ".o_sicantik_editor";
const bubble = `${editor} .o_sicantik_bubble`;
const parameter = (name) => `${editor} .o_sicantik_parameter[data-name="${name}"]`;
const save = click("save", ".o_form_button_save");
const saved = wait("it is saved", ".o_form_saved, .o_form_status_indicator_buttons.invisible");

/** A manager writes a template and sees it as it will be read; its parameters are put right by buttons. */
registry.category("web_tour.tours").add("sicantik_template", {
    test: true,
    steps: () => [
        click("open the template", ".o_data_row:contains('tour_template') .o_data_cell[name='template_key']"),
        wait("its preview has a sample", `${bubble} .o_sicantik_value[title="partner_name"]:contains('Siti')`),
        wait("one parameter is too many", `${parameter("status")}:contains('Not in the text')`),
        typing("write", `${editor} textarea`, "Yth. *{{partner_name}}*, izin {{permit_number}} <b>siap</b>."),
        wait("it is bold at once", `${bubble} strong .o_sicantik_value[title="partner_name"]`),
        wait("and what looks like HTML is text", `${bubble}:contains('<b>siap</b>'):not(:has(b))`),
        wait("one parameter is not in the list", `${parameter("permit_number")}:contains('Not in the list')`),
        wait("the length is counted", `${editor} .o_sicantik_length:contains('1024')`),
        click("take the parameters", `${editor} .o_sicantik_take`),
        wait("the superfluous one is gone", `${editor}:not(:has([data-name="status"])):not(:has(.o_sicantik_take))`),
        click("change the order", `${parameter("partner_name")} button[title="Move down"]`),
        wait("it is the second one", `${parameter("partner_name")} .o_sicantik_position:contains('2')`),
        type("give a sample", `${parameter("permit_number")} input`, "503/77"),
        click("leave the box", `${editor} .o_sicantik_phone_bar`),
        wait("the preview has it", `${bubble}:contains('503/77')`),
        save,
        saved,
    ],
});

/** A manager enters credentials, looks at them, tests the connection and finds the webhook. */
registry.category("web_tour.tours").add("sicantik_provider", {
    test: true,
    steps: () => [
        click("open the provider", ".o_data_row:contains('Tour Provider') .o_data_cell[name='name']"),
        wait("it says that it is not in use", ".o_form_view .alert:contains('No message goes through')"),
        wait("it says where to find the token", ".o_form_view li:contains('device token')"),
        type("enter the token", "div[name='api_token'] input[type='password']", "FONNTE-TOKEN-DEMO"),
        click("look at it", "div[name='api_token'] .o_sicantik_secret button"),
        wait("it can be read", "div[name='api_token'] input[type='text']"),
        click("test it", ".o_form_view button[name='action_test_connection']"),
        wait("it works, and says what was reached", ".o_notification:contains('6221500000')"),
        wait("the facts stay", ".o_form_view .o_field_widget[name='account_facts']:contains('6221500000')"),
        wait("it is in use", ".o_form_view .o_field_widget[name='health']:contains('Takes Messages')"),
        click("open the webhook", ".o_notebook .nav-link[name='webhook']"),
        wait("the address is there to copy", ".o_field_widget[name='webhook_url']:has(.o_clipboard_button, button)"),
        wait("and what to do with it", ".o_notebook ol:contains('Fonnte dashboard')"),
    ],
});

/** An administrator finds the settings, by their tab and by a word. */
registry.category("web_tour.tours").add("sicantik_settings", {
    test: true,
    steps: () => [
        click("open the apps", ".o_navbar_apps_menu button"),
        click("open the settings", `[data-menu-xmlid="base.menu_administration"]`),
        click("open the tab", `.settings_tab .tab[data-key="${MODULE}"]`),
        wait("the addresses are there", ".o_setting_box:contains('/api/cron-auto-message'), [name='doors']:contains('/api/cron-auto-message')"),
        wait("who is told", ".o_field_widget[name='whatsapp_alert_user_ids']"),
        type("look for something", ".o_searchview_input", "frequency"),
        wait("it is found", ".highlighter:contains('Frequency')"),
    ],
});
