"""What somebody finds who has only the seeds in hand: each menu, label, tab and button, in Indonesian.

Looked up where the web client takes them from, for a user whose language is Indonesian. The comments name the
chapters of seed 2, unless they name another one.
"""

from lxml import etree

from odoo.tests import TransactionCase, tagged

MODULE = "sicantik_notification_automation"
TRIGGER = "sicantik.notification.trigger"
RULE = "sicantik.notification.rule"
CAMPAIGN = "sicantik.notification.campaign"
QUEUE = "sicantik.notification.queue"
LOG = "sicantik.notification.log"
PROVIDER = "sicantik.whatsapp.provider"

AUTOMATIC = "SICANTIK/Notifikasi Otomatis"
MENUS = {
    "SICANTIK/Data Perizinan",  # 7.1
    "SICANTIK/Dokumen",
    AUTOMATIC,
    f"{AUTOMATIC}/Ringkasan",
    f"{AUTOMATIC}/Kampanye",  # 5.1
    f"{AUTOMATIC}/Pesan Terjadwal",  # seed 4
    f"{AUTOMATIC}/Monitoring/Antrian Pengiriman",  # 8.1
    f"{AUTOMATIC}/Monitoring/Log Pengiriman",  # 8.2
    f"{AUTOMATIC}/Monitoring/Cron Jobs (Scheduled Actions)",  # 7.4
    f"{AUTOMATIC}/Konfigurasi/Pemicu",  # 3.1
    f"{AUTOMATIC}/Konfigurasi/Aturan",  # 4.1
    f"{AUTOMATIC}/Konfigurasi/Daftar Hitam",  # 8.5, seed 1
    "WhatsApp/Konfigurasi/Master Template",  # 4.3
    "WhatsApp/Konfigurasi/Akun WhatsApp",  # 6.4
    "WhatsApp/Konfigurasi/Provider WhatsApp",  # 6.4
}
# Labels on forms: {model: {tab, None for anywhere: {field: label}}}.
FORMS = {
    TRIGGER: {  # 3.3
        None: {
            "name": "Nama Pemicu",
            "code": "Kode Pemicu",
            "active": "Aktif",
            "sequence": "Urutan",
            "model_id": "Model",
            "trigger_type": "Tipe Pemicu",
            "state_field": "Field Status",
            "state_from": "Status Dari",
            "state_to": "Status Ke",
            "description": "Deskripsi",
            "condition_domain": "Kondisi Domain",
        }
    },
    RULE: {  # 4.2
        None: {"name": "Nama Aturan"},
        "Informasi Dasar": {
            "active": "Aktif",
            "sequence": "Urutan",
            "trigger_id": "Pemicu",
            "template_key": "Template Key",
        },
        "Kondisi": {"condition_domain": "Kondisi Domain", "condition_python": "Kondisi Python"},
        "Penerima": {
            "recipient_type": "Tipe Penerima",
            "staff_group_id": "Grup Staff",
            "recipient_domain": "Domain Penerima",
        },
        "Penjadwalan": {
            "schedule_type": "Tipe Penjadwalan",
            "scheduled_delay": "Delay (menit)",
            "batch_size": "Ukuran Batch",
            "batch_interval": "Interval Batch (menit)",
        },
        "Pembatasan & Ulang Coba": {
            "rate_limit_enabled": "Aktifkan Pembatasan Laju",
            "rate_limit_count": "Max Pengiriman",
            "rate_limit_period": "Periode Pembatasan Laju",
            "max_retries": "Max Ulang Coba",
            "retry_delay": "Delay Ulang Coba (menit)",
            "respect_blacklist": "Hormati Daftar Hitam",
        },
        "Context Values": {"context_preparation_code": "Kode Persiapan Context"},
    },
    CAMPAIGN: {  # 5.2, 5.3
        None: {"name": "Nama Kampanye", "state": "Status"},
        "Informasi Dasar": {"description": "Deskripsi", "rule_id": "Aturan"},
        "Target": {"target_model": "Model Target", "target_domain": "Domain Target"},
        "Override Template (Opsional)": {"template_key": "Template Key Override"},
        "Penjadwalan": {"scheduled_date": "Jadwal Pengiriman"},
        "Statistik": {
            "total_targets": "Total Target",
            "total_sent": "Total Terkirim",
            "total_pending": "Total Pending",
        },
    },
    QUEUE: {  # 7.3
        None: {
            "rule_id": "Aturan",
            "partner_id": "Penerima",
            "template_key": "Template Key",
            "context_values": "Context Values",
            "scheduled_date": "Jadwal Pengiriman",
            "campaign_id": "Kampanye",
            "state": "Status",
        }
    },
    LOG: {None: {"provider_type": "Tipe Provider", "state": "Status", "partner_id": "Penerima"}},  # 6.5, 8.2
    PROVIDER: {None: {"api_token": "API Token", "credential_state": "Status"}},  # 6.4, seed 3
    "sicantik.permit": {None: {"state": "Status"}},  # 7.1
}
SELECTIONS = {
    (TRIGGER, "trigger_type"): {  # 3.4
        "on_create": "Saat Record Dibuat",
        "on_write": "Saat Record Diupdate",
        "on_state_change": "Saat Status Berubah",
        "on_field_change": "Saat Field Tertentu Berubah",
        "cron": "Jadwal Cron",
        "manual": "Manual",
        "api": "API Call",
    },
    (RULE, "recipient_type"): {
        "partner": "Partner (Pemohon)",
        "staff": "Staff DPMPTSP",
        "official": "Pejabat Berwenang",
        "custom": "Custom (Domain)",
        "field": "Dari Field Record",
    },
    (RULE, "schedule_type"): {
        "immediate": "Langsung",
        "scheduled": "Terjadwal",
        "batch": "Batch (Massal)",
    },
    (RULE, "rate_limit_period"): {"hour": "Per Jam"},
    (CAMPAIGN, "state"): {"draft": "Draft", "running": "Berjalan"},
    (PROVIDER, "provider_type"): {
        "meta": "Meta WhatsApp",
        "fonnte": "Fonnte",
        "watzap": "Watzap",
    },
    (PROVIDER, "credential_state"): {"configured": "Configured"},  # seed 3
}
BUTTONS = {
    CAMPAIGN: {  # 5.3, 5.4
        "action_start": "Mulai Kampanye",
        "action_pause": "Jeda",
        "action_resume": "Lanjutkan",
        "action_cancel": "Batalkan",
    },
    QUEUE: {  # 8.1
        "action_process": "Proses Sekarang",
        "action_retry": "Ulang Coba",
        "action_cancel": "Batalkan",
    },
    PROVIDER: {"action_test_connection": "Test Connection"},  # 6.4
    RULE: {"action_test_send": "Test Send"},
}
# What the list's search offers to filter or search by.
SEARCHES = {
    QUEUE: {  # 8.1
        "rule_id": "Aturan",
        "campaign_id": "Kampanye",
        "partner_id": "Penerima",
    }
}
TRIGGERS = {  # 3.2
    "permit_state_change": "Status Izin Berubah",
    "permit_expiring": "Izin Mendekati Masa Berlaku",
    "document_uploaded": "Dokumen Baru Diupload",
    "document_pending_signature": "Dokumen Perlu Ditandatangani",
    "document_signed": "Dokumen Sudah Ditandatangani",
    "document_pending_reminder": "Reminder Dokumen Pending",
}
TEMPLATES = {  # seed 3, table of templates
    "permit_ready": "Izin Selesai Diproses",
    "document_pending": "Dokumen Baru untuk Tandatangan",
    "approval_required": "Dokumen Perlu Approval",
    "status_update": "Update Status Perizinan",
    "reminder": "Reminder Dokumen Pending",
    "permit_expiry_warning": "Peringatan Masa Berlaku",
    "permit_renewal_approved": "Perpanjangan Disetujui",
}


@tagged("post_install", "-at_install")
class TestSeedWords(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["res.lang"]._activate_lang("id_ID")
        cls.env["ir.module.module"].search([("name", "=", MODULE)])._update_translations(["id_ID"])
        admin = cls.env.ref("base.user_admin")
        admin.lang = "id_ID"
        cls.env = cls.env(user=admin, context={"lang": "id_ID"})

    def view(self, model, view_type):
        views = self.env[model].get_views([(False, view_type)])
        return etree.fromstring(views["views"][view_type]["arch"])

    def labels(self, model, root):
        """Give the labels that a part of a view shows: {field: {label}}.

        A field without one stands under a separator, a title or a tab, which say what it is.
        """
        strings = {name: field["string"] for name, field in self.env[model].fields_get().items()}
        found = {}
        for node in root.iter("field"):
            if any(parent.tag == "field" for parent in node.iterancestors()):
                continue
            name = node.get("name")
            headings = found.setdefault(name, set())
            label = node.get("string") or strings.get(name)
            if node.get("nolabel") != "1":
                headings.add(label)
                continue
            before = [one.get("string") for one in node.itersiblings("separator", preceding=True)][:1]
            headings.update(filter(None, before))
        for node in root.iter("label"):
            if node.get("for"):
                label = node.get("string") or strings.get(node.get("for"))
                found.setdefault(node.get("for"), set()).add(label)
        return found

    def test_menus(self):
        menus = self.env["ir.ui.menu"].load_web_menus(False)
        found = set()

        def walk(menu, path):
            path = f"{path}/{menu['name']}" if path else menu["name"]
            found.add(path)
            for child in menu["children"]:
                walk(menus[child], path)

        for menu in menus["root"]["children"]:
            walk(menus[menu], "")
        self.assertFalse(MENUS - found, found)

    def test_labels_and_tabs(self):
        for model, tabs in FORMS.items():
            form = self.view(model, "form")
            pages = {page.get("string"): page for page in form.iter("page")}
            for tab, fields in tabs.items():
                with self.subTest(model=model, tab=tab):
                    self.assertIn(tab, {None, *pages})
                found = self.labels(model, form if tab is None else pages.get(tab, form))
                for name, label in fields.items():
                    with self.subTest(model=model, tab=tab, field=name):
                        self.assertIn(label, found.get(name, set()))

    def test_selections(self):
        for (model, name), expected in SELECTIONS.items():
            labels = dict(self.env[model].fields_get([name])[name]["selection"])
            with self.subTest(model=model, field=name):
                self.assertEqual({value: labels.get(value) for value in expected}, expected)

    def test_buttons(self):
        for model, buttons in BUTTONS.items():
            form = self.view(model, "form")
            for method, label in buttons.items():
                with self.subTest(model=model, button=method):
                    strings = {
                        button.get("string") for button in form.iter("button") if button.get("name") == method
                    }
                    self.assertIn(label, strings)

    def test_searches(self):
        for model, fields in SEARCHES.items():
            found = self.labels(model, self.view(model, "search"))
            for name, label in fields.items():
                with self.subTest(model=model, field=name):
                    self.assertIn(label, found.get(name, set()))

    def test_columns_of_the_log(self):
        """6.5: the column that says who sent it."""
        self.assertIn("Tipe Provider", self.labels(LOG, self.view(LOG, "list")).get("provider_type", ()))

    def test_columns_of_the_scheduled_actions(self):
        """7.4, 8.3: Last Run and Next Run."""
        view_id = self.env.ref(f"{MODULE}.ir_cron_view_tree").id
        arch = self.env["ir.cron"].with_context(lang="id_ID").get_view(view_id)["arch"]
        for word in ("Last Run", "Next Run", "Run Manually"):
            self.assertIn(word, arch)

    def test_test_send_in_the_action_menu(self):
        """7.3: Action → Test Send."""
        views = self.env[RULE].get_views([(False, "form")], {"toolbar": True})
        names = {action["name"] for action in views["views"]["form"]["toolbar"].get("action", [])}
        self.assertIn("Test Send", names)

    def test_names_of_what_is_there(self):
        """3.2, seed 3: triggers and templates; 3.3: the model; 4.2: the group."""
        triggers = self.env[TRIGGER].with_context(active_test=False).search([("code", "in", list(TRIGGERS))])
        self.assertEqual({trigger.code: trigger.name for trigger in triggers}, TRIGGERS)
        templates = self.env["sicantik.whatsapp.template.master"].with_context(active_test=False)
        templates = templates.search([("template_key", "in", list(TEMPLATES))])
        self.assertEqual({template.template_key: template.name for template in templates}, TEMPLATES)
        self.assertEqual(self.env["ir.model"]._get("sicantik.permit").name, "Izin SICANTIK")
        self.assertEqual(self.env.ref(f"{MODULE}.group_staff").name, "DPMPTSP Staff")

    def test_settings(self):
        """Seed 3: Settings → General Settings → WhatsApp Notifications, Default Provider."""
        form = self.view("res.config.settings", "form")
        blocks = {node.get("title") or node.get("string") for node in form.iter("block", "app", "h2")}
        self.assertIn("WhatsApp Notifications", blocks)
        settings = next(
            node
            for node in form.iter("setting")
            if node.find(".//field[@name='whatsapp_default_provider_id']") is not None
        )
        self.assertIn(
            "Default Provider", {settings.get("string"), *(one.get("string") for one in settings.iter())}
        )
