/** @odoo-module **/

import { registry } from "@web/core/registry";

/*
 * The four trials of the setup guide (seed 2, chapter 7), step by step, by somebody who has only that guide in
 * hand: menus, labels, choices and buttons are found by the words that it gives, in Indonesian. Odoo's own
 * words (Buat, Simpan, Action) change with its version: those buttons are found by what they are.
 */

const wait = (content, trigger) => ({ content, trigger, run: () => {} });
const click = (content, trigger) => ({ content, trigger, run: "click" });
const type = (text) => (helpers) => (helpers.edit ? helpers.edit(text) : helpers.text(text));

/** Follow a menu path as the guide writes it: “SICANTIK → Notifikasi Otomatis → Konfigurasi → Pemicu”. */
const menu = (path) => {
    const [app, ...names] = path.split(" → ");
    const last = names[names.length - 1];
    const group = names.length > 2 ? `.dropdown-menu_group:contains("${names[1]}") ~ ` : "";
    return [
        click(path, ".o_navbar_apps_menu button"),
        click(app, `.o_app:contains("${app}")`),
        wait(`${app} is open`, `.o_menu_brand:contains("${app}")`),
        ...(names.length > 1
            ? [
                  click(names[0], `.o_menu_sections .dropdown-toggle:contains("${names[0]}")`),
                  click(last, `.dropdown-menu ${group}.dropdown-item:contains("${last}")`),
              ]
            : [click(last, `.o_menu_sections .o_nav_entry:contains("${last}")`)]),
        wait(`${last} is open`, `.o_control_panel .o_breadcrumb:contains("${last}")`),
    ];
};

/** The input behind a label. The field's name only tells labels apart of which one contains the other. */
const cell = (label, field) =>
    `.o_wrap_label:has(.o_form_label:contains("${label}")) + .o_cell [name="${field}"], ` +
    `.oe_title:has(label:contains("${label}")) [name="${field}"]`;
const inside = (label, field, what) =>
    cell(label, field)
        .split(", ")
        .flatMap((one) => what.split(", ").map((part) => `${one} ${part}`))
        .join(", ");
const isSelect = (helpers) => (helpers.anchor || helpers.tip_widget.$anchor[0]).tagName === "SELECT";
const fill = (label, field, text) => ({
    content: `${label}: ${text}`,
    trigger: inside(label, field, "input, textarea, select"),
    run: (helpers) => (isSelect(helpers) && helpers.select ? helpers.select(text) : type(text)(helpers)),
});

/** Let what was entered before be answered first: the answer would wipe out a search that is just being typed. */
let busy = 0;
const watchRequests = () => {
    const send = XMLHttpRequest.prototype.send;
    XMLHttpRequest.prototype.send = function (...args) {
        busy++;
        this.addEventListener("loadend", () => busy--);
        return send.apply(this, args);
    };
};
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
const calm = {
    content: "nothing is under way",
    trigger: "body",
    run: async () => {
        do {
            await pause(50);
        } while (busy);
    },
};
const pick = (label, field, text) => [
    calm,
    fill(label, field, text),
    click(`choose ${text}`, `.o-autocomplete--dropdown-item a:contains("${text}")`),
];
/** Choose from a selection: a <select> on Odoo 17, a menu of its own on 19. */
const choose = (label, field, option) => [
    {
        content: `${label}: ${option}`,
        trigger: inside(label, field, "select, .o_select_menu_toggler"),
        run: (helpers) => (isSelect(helpers) ? helpers.text(option) : helpers.click()),
    },
    {
        content: `choose ${option}`,
        trigger: [
            ...inside(label, field, `select:has(option:checked:contains("${option}"))`).split(", "),
            `.o_select_menu_item:contains("${option}")`,
        ].join(", "),
        run: (helpers) => isSelect(helpers) || helpers.click(),
    },
];
const tab = (name) => click(`tab ${name}`, `.o_notebook .nav-link:contains("${name}")`);
const create = () => [
    click("Buat", ".o_list_button_add, .o-kanban-button-new"),
    wait("an empty form", ".o_form_view .o_form_editable"),
];
const save = () => [
    click("Simpan", ".o_form_button_save"),
    wait("it is saved", ".o_action_manager:has(.o_form_status_indicator_buttons.invisible)"),
];
const open = (text) => [
    click(
        `open ${text}`,
        `.o_list_view .o_data_row:contains("${text}") .o_data_cell:contains("${text}"), ` +
            `.o_kanban_view .o_kanban_record:contains("${text}")`
    ),
    wait("its form", ".o_form_view .o_form_sheet"),
];
const listed = (content, ...texts) =>
    wait(content, `.o_list_view .o_data_row${texts.map((text) => `:contains("${text}")`).join("")}`);
const state = (value) =>
    wait(
        `its status is ${value}`,
        `.o_statusbar_status:has(.o_arrow_button_current[data-value="${value}"])`
    );
const messages = (label) => menu(`SICANTIK → Notifikasi Otomatis → Monitoring → ${label}`);

const call = async (model, method, args = []) => {
    const answer = await fetch(`/web/dataset/call_kw/${model}/${method}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", method: "call", params: { model, method, args, kwargs: {} } }),
    });
    const { error, result } = await answer.json();
    if (error) {
        throw new Error(error.data.message);
    }
    return result;
};
/** What the scheduled action does every minute. */
const cron = () => ({
    content: "the scheduled action runs",
    trigger: ".o_control_panel",
    run: () => call("sicantik.notification.queue", "cron_process_queue"),
});
/** Let the time pass after which the next batch leaves. */
const minutes = () => ({
    content: "some minutes pass",
    trigger: ".o_control_panel",
    run: async () => {
        const queue = "sicantik.notification.queue";
        const ids = await call(queue, "search", [[["state", "=", "pending"]]]);
        await call(queue, "write", [ids, { scheduled_date: "2020-01-01 00:00:00" }]);
        await call(queue, "cron_process_queue");
    },
});

const start = { content: "begin", trigger: "body", run: watchRequests };
const tour = (name, ...steps) =>
    registry.category("web_tour.tours").add(name, { test: true, steps: () => [start, ...steps.flat()] });

/* 7.1 Uji Coba 1: Notifikasi Otomatis Saat Status Izin Berubah */
tour(
    "sicantik_seed_trial_1",
    menu("SICANTIK → Notifikasi Otomatis → Konfigurasi → Pemicu"),
    open("Status Izin Berubah"),
    fill("Status Dari", "state_from", "draft"),
    fill("Status Ke", "state_to", "approved"),
    save(),

    menu("SICANTIK → Notifikasi Otomatis → Konfigurasi → Aturan"),
    create(),
    fill("Nama", "name", "Notifikasi Izin Disetujui"),
    tab("Informasi Dasar"),
    pick("Pemicu", "trigger_id", "Status Izin Berubah"),
    fill("Template Key", "template_key", "permit_ready"),
    tab("Penerima"),
    choose("Tipe Penerima", "recipient_type", "Partner (Pemohon)"),
    tab("Penjadwalan"),
    choose("Tipe Penjadwalan", "schedule_type", "Langsung"),
    save(),

    menu("SICANTIK → Data Perizinan"),
    open("Pemohon Uji Coba"),
    choose("Status", "status", "Disetujui"),
    save(),
    state("approved"),

    messages("Antrian Pengiriman"),
    listed("the message waits", "Pemohon Uji Coba", "Pending"),
    cron(),
    messages("Log Pengiriman"),
    listed("it is sent", "Pemohon Uji Coba", "Terkirim")
);

/* 7.2 Uji Coba 2: Kampanye Massal */
tour(
    "sicantik_seed_trial_2",
    menu("SICANTIK → Notifikasi Otomatis → Konfigurasi → Aturan"),
    create(),
    fill("Nama", "name", "Reminder Masa Berlaku Izin"),
    tab("Informasi Dasar"),
    pick("Pemicu", "trigger_id", "Izin Mendekati Masa Berlaku"),
    fill("Template Key", "template_key", "permit_reminder"),
    tab("Penerima"),
    choose("Tipe Penerima", "recipient_type", "Partner (Pemohon)"),
    tab("Penjadwalan"),
    choose("Tipe Penjadwalan", "schedule_type", "Batch (Massal)"),
    fill("Ukuran Batch", "batch_size", "5"),
    fill("Interval Batch", "batch_interval", "2"),
    save(),

    menu("SICANTIK → Notifikasi Otomatis → Kampanye"),
    create(),
    fill("Nama", "name", "Test Kampanye Reminder"),
    tab("Informasi Dasar"),
    pick("Aturan", "rule_id", "Reminder Masa Berlaku Izin"),
    tab("Target"),
    fill("Model Target", "target_model", "sicantik.permit"),
    fill("Domain Target", "target_domain", "[('state', '=', 'approved'), ('partner_id', '!=', False)]"),
    save(),

    menu("SICANTIK → Notifikasi Otomatis → Kampanye"),
    open("Test Kampanye Reminder"),
    click("Mulai Kampanye", ".o_form_view .o_statusbar_buttons button:contains('Mulai Kampanye')"),
    click("yes", ".modal-footer .btn-primary"),
    state("running"),
    tab("Statistik"),
    wait("Total Target", `${cell("Total Target", "total_targets").split(", ")[0]}:contains("6")`),
    wait("Total Pending", `${cell("Total Pending", "total_pending").split(", ")[0]}:contains("6")`),

    messages("Antrian Pengiriman"),
    { content: "look for the campaign", trigger: ".o_searchview_input", run: type("Reminder") },
    click(
        "in Kampanye",
        ".o_searchview_autocomplete li:contains('Kampanye'), .o_searchview_autocomplete .o-dropdown-item:contains('Kampanye')"
    ),
    listed("they wait", "permit_reminder", "Pending"),
    cron(),
    minutes(),

    messages("Log Pengiriman"),
    wait(
        "all are sent",
        ".o_list_view:has(.o_data_row:contains('permit_reminder'):contains('Terkirim'):eq(5))"
    ),
    menu("SICANTIK → Notifikasi Otomatis → Kampanye"),
    open("Test Kampanye Reminder"),
    tab("Statistik"),
    wait("Total Terkirim", `${cell("Total Terkirim", "total_sent").split(", ")[0]}:contains("6")`)
);

/* 7.3 Uji Coba 3: Test Send Manual */
const JSON_VALUES = '{"partner_name": "Test User", "permit_number": "TEST/2025/00001"}';
tour(
    "sicantik_seed_trial_3",
    menu("SICANTIK → Notifikasi Otomatis → Konfigurasi → Aturan"),
    open("Aturan Uji Coba"),
    click("Action", ".o_cp_action_menus .dropdown-toggle, .o_cp_action_menus button"),
    click("Test Send", ".dropdown-menu .dropdown-item:contains('Test Send')"),
    pick("Penerima", "partner_id", "Pemohon Uji Coba"),
    click("Kirim Uji Coba", ".modal-footer button:contains('Kirim Uji Coba')"),
    wait("it says by whom it was sent", ".o_form_view .o_field_widget[name='result']:contains('Fonnte')"),
    click("close it", ".modal-header .btn-close"),

    messages("Antrian Pengiriman").map((step, index) =>
        index ? step : { ...step, trigger: `body:not(:has(.modal)) ${step.trigger}` }
    ),
    create(),
    pick("Aturan", "rule_id", "Aturan Uji Coba"),
    pick("Penerima", "partner_id", "Pemohon Uji Coba"),
    fill("Template Key", "template_key", "selesai_diproses"),
    fill("Context Values", "context_values", JSON_VALUES),
    wait("Jadwal Pengiriman", cell("Jadwal Pengiriman", "scheduled_date").split(", ")[0]),
    save(),
    click("Proses Sekarang", ".o_form_view .o_statusbar_buttons button:contains('Proses Sekarang')"),
    state("sent"),
    messages("Log Pengiriman"),
    listed("it is sent", "Pemohon Uji Coba", "Terkirim")
);

/* 7.4 Uji Coba 4: Monitoring Cron Jobs */
tour(
    "sicantik_seed_trial_4",
    messages("Cron Jobs (Scheduled Actions)"),
    listed("every minute", "SICANTIK: Process Notification Queue", "20"),
    listed("every five minutes", "SICANTIK: Process Campaign Batch", "15"),
    listed("every day", "SICANTIK: Cleanup Old Notification Logs", "5"),
    wait("they are active", ".o_list_view:has(.o_data_row [name='active'] input:checked:eq(2))"),
    wait("there are no others", ".o_list_view:not(:has(.o_data_row:eq(3)))"),
    open("SICANTIK: Process Notification Queue"),
    click("Run Manually", ".o_form_view button[name='method_direct_trigger']"),
    messages("Antrian Pengiriman"),
    listed("what waited is sent", "Pemohon Uji Coba", "Terkirim")
);
