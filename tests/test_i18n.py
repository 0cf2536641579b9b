"""The translation files: complete, in step with each other, and with the seeds' words."""

import re

import polib

from odoo.modules.module import get_module_path
from odoo.tests import TransactionCase, tagged

MODULE = "sicantik_notification_automation"
PLACEHOLDER = re.compile(r"%\(\w+\)s|%s|\{\{?\w+\}?\}")
# What Indonesian users must see (seeds 1 and 2).
SEED_WORDS = {
    "Permits": "Data Perizinan",
    "Automatic Notifications": "Notifikasi Otomatis",
    "Campaigns": "Kampanye",
    "Auto Messages": "Pesan Terjadwal",
    "Delivery Queue": "Antrian Pengiriman",
    "Delivery Log": "Log Pengiriman",
    "Scheduled Actions": "Cron Jobs (Scheduled Actions)",
    "Triggers": "Pemicu",
    "Rules": "Aturan",
    "Blacklist": "Daftar Hitam",
    "WhatsApp Providers": "Provider WhatsApp",
    "WhatsApp Accounts": "Akun WhatsApp",
    "Trigger Name": "Nama Pemicu",
    "Trigger Code": "Kode Pemicu",
    "Sequence": "Urutan",
    "Status From": "Status Dari",
    "Status To": "Status Ke",
    "When a Record Is Created": "Saat Record Dibuat",
    "When the Status Changes": "Saat Status Berubah",
    "Partner (Applicant)": "Partner (Pemohon)",
    "Immediate": "Langsung",
    "Scheduled": "Terjadwal",
    "Batch": "Batch (Massal)",
    "Limit the Rate": "Aktifkan Pembatasan Laju",
    "Limits & Retries": "Pembatasan & Ulang Coba",
    "Process Now": "Proses Sekarang",
    "Retry": "Ulang Coba",
    "Cancel": "Batalkan",
    "Start Campaign": "Mulai Kampanye",
    "Pause": "Jeda",
    "Resume": "Lanjutkan",
}


@tagged("post_install", "-at_install")
class TestTranslations(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = f"{get_module_path(MODULE)}/i18n"
        cls.template = polib.pofile(f"{folder}/{MODULE}.pot")
        cls.indonesian = polib.pofile(f"{folder}/id.po")

    def test_every_term_is_translated(self):
        empty = [entry.msgid for entry in self.indonesian if not entry.msgstr or entry.fuzzy]
        self.assertEqual(empty, [])
        self.assertEqual({entry.msgid for entry in self.indonesian}, {entry.msgid for entry in self.template})

    def test_placeholders_are_kept(self):
        for entry in self.indonesian:
            with self.subTest(entry.msgid):
                self.assertCountEqual(PLACEHOLDER.findall(entry.msgid), PLACEHOLDER.findall(entry.msgstr))

    def test_the_seeds_words(self):
        words = {entry.msgid: entry.msgstr for entry in self.indonesian}
        self.assertEqual({english: words.get(english) for english in SEED_WORDS}, SEED_WORDS)
