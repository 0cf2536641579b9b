"""The seven scenarios of seed 3, “7 Skenario Notifikasi”: each shipped rule from the change in the office to
the message on the recipient's phone.
"""

from datetime import timedelta

from odoo import fields
from odoo.fields import Command

from .common import NotificationCase

MODULE = "sicantik_notification_automation"
BASE_URL = "https://sicantik.example.id"


class ScenarioCase(NotificationCase):
    """An office of its own, with its staff; one shipped rule at a time is on."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["res.lang"]._activate_lang("id_ID")
        cls.env["ir.module.module"]._load_module_terms([MODULE], ["id_ID"])
        cls.env["ir.config_parameter"].set_param("web.base.url", BASE_URL)
        for model in ("sicantik.permit", "sicantik.document"):  # those of the demo data
            cls.env[model].search([]).active = False
        cls.office = cls.env["res.company"].create({"name": "DPMPTSP Uji", "phone": "0628-20001"})
        (cls.office + cls.env.company).partner_id.tz = "Asia/Jakarta"
        cls._provider("fonnte")
        cls.rina = cls._user("Rina", "081200000011", "group_staff")
        cls.joko = cls._user("Joko", "081200000012", "group_staff")
        cls.head = cls._user("Kepala Dinas", "081200000021", "group_official")
        cls.siup = cls.env["sicantik.permit.type"].create({"name": "SIUP"})
        cls.partner.name = "John Doe"

    @classmethod
    def _user(cls, name, number, group):
        ids = [cls.env.ref("base.group_user").id, cls.env.ref(f"{MODULE}.{group}").id]
        return (
            cls.env["res.users"]
            .with_context(no_reset_password=True)
            .create(
                {
                    "name": name,
                    "login": name.lower(),
                    "whatsapp_number": number,
                    "company_id": cls.office.id,
                    "company_ids": [Command.set(cls.office.ids)],
                    "groups_id": [Command.set(ids)],
                }
            )
        )

    def _turn_on(self, *names):
        """Do what an administrator does: activate shipped rules, and with them their triggers."""
        for name in names:
            rule = self.env.ref(f"{MODULE}.sicantik_notification_rule_{name}")
            rule.active = True
            rule.trigger_id.active = True

    def _permit(self, **vals):
        permit = super()._permit(
            **{
                "company_id": self.office.id,
                "permit_type_id": self.siup.id,
                "permit_number": "503.517-0186-IX-SIUP-DPM-PPTSP-2018",
                "registration_id": "REG-0186",
                **vals,
            }
        )
        self.commit()
        return permit

    def _document(self, permit, **vals):
        document = self.env["sicantik.document"].create(
            {"name": "Surat izin", "permit_id": permit.id, "company_id": self.office.id, **vals}
        )
        self.commit()
        return document

    def _local_time(self):
        """Give the time in the office, as messages say it."""
        return self._local(fields.Datetime.now()).strftime("%d-%m-%Y %H:%M")

    def _local(self, moment):
        return fields.Datetime.context_timestamp(self.office.with_context(tz="Asia/Jakarta"), moment)

    def assertMessages(self, expected):
        """Assert what arrived: {number: text}, after the transaction has ended and the queue was drained."""
        self.commit()
        self.drain()
        messages = self.gateway.messages()
        self.assertEqual({message["to"]: message["text"] for message in messages}, expected)
        self.assertEqual(len(messages), len(expected), "each of them once")
        self.drain()
        self.assertEqual(len(self.gateway.messages()), len(expected), "and not again")


class TestScenarios(ScenarioCase):
    """What arrives."""

    def test_1_izin_selesai_diproses(self):
        """Trigger: `sicantik.permit.write()` → `status == 'active'` dan ada `permit_number`.
        Recipient: Pemohon izin (`permit.partner_id`). Template Key: `permit_ready`.
        """
        self._turn_on("permit_ready")
        permit = self._permit(issue_date="2026-01-02")
        permit.status = "active"
        self.assertMessages(
            {
                "6281200000001": "Yth. John Doe, izin SIUP Anda dengan nomor "
                "503.517-0186-IX-SIUP-DPM-PPTSP-2018 telah selesai diproses.\n\n"
                "Tanggal terbit: 02-01-2026\n"
                f"Unduh dokumen izin: {BASE_URL}/download/REG-0186\n\n"
                "Terima kasih telah menggunakan layanan SICANTIK."
            }
        )

    def test_1_belum_ada_nomor_izin(self):
        """… dan ada `permit_number`."""
        self._turn_on("permit_ready")
        self._permit(permit_number=False).status = "active"
        self.assertMessages({})

    def test_2_dokumen_baru_untuk_tandatangan(self):
        """Trigger: `sicantik.document.write()` → `state == 'pending_signature'`.
        Recipient: Staff DPMPTSP (semua user internal dengan nomor WhatsApp). Template Key:
        `document_pending`.
        """
        self._turn_on("document_pending")
        document = self._document(self._permit())
        document.state = "pending_signature"
        text = (
            "Ada 1 dokumen baru yang perlu ditandatangani.\n\n"
            "Jenis izin: SIUP\nPemohon: John Doe\nNomor pendaftaran: REG-0186\n\n"
            f"Buka dasbor: {BASE_URL}/web\n\nMohon segera ditindaklanjuti."
        )
        self.assertMessages({"6281200000011": text, "6281200000012": text})

    def test_3_dokumen_perlu_approval(self):
        """Trigger: `sicantik.document.write()` → `state == 'pending_signature'` dan `requires_approval ==
        True`. Recipient: Pejabat berwenang (dari workflow). Template Key: `approval_required`.
        """
        self._turn_on("approval_required")
        permit = self._permit()
        document = self._document(permit, requires_approval=True, approver_id=self.head.id)
        plain = self._document(permit)
        (document + plain).write({"state": "pending_signature"})
        link = f"{BASE_URL}/web#id={document.id}&model=sicantik.document&view_type=form"
        self.assertMessages(
            {
                "6281200000021": "Yth. Kepala Dinas, ada dokumen yang memerlukan persetujuan Anda.\n\n"
                "Jenis izin: SIUP\nPemohon: John Doe\n"
                "Nomor izin: 503.517-0186-IX-SIUP-DPM-PPTSP-2018\n\n"
                f"Tinjau dan setujui di: {link}\n\nTerima kasih."
            }
        )

    def test_4_update_status_perizinan(self):
        """Trigger: `sicantik.permit.write()` → `status` berubah. Recipient: Pemohon & Staff terkait.
        Template Key: `status_update`.
        """
        self._turn_on("status_update_applicant", "status_update_staff")
        permit = self._permit(responsible_id=self.rina.id)
        permit.status = "submitted"
        times = [self._local_time()]
        self.commit()
        times.append(self._local_time())  # another minute may have begun
        told = self.rows(res_id=permit.id)[0]._context_dict()["timestamp"]
        self.assertIn(told, times)
        text = (
            "Status permohonan izin dengan nomor pendaftaran REG-0186 telah berubah.\n\n"
            f"Dari: Draft\nMenjadi: Diajukan\nWaktu: {told}\n\n"
            f"Lihat rincian: {BASE_URL}/permit/REG-0186\n\nTerima kasih."
        )
        self.assertMessages({"6281200000001": text, "6281200000011": text})

    def test_5_reminder_dokumen_pending(self):
        """Trigger: Cron job (daily 10:00) → Dokumen pending > 24 jam. Recipient: Staff yang bertanggung
        jawab. Template Key: `reminder`.
        """
        self._turn_on("reminder")
        now = fields.Datetime.now()
        permit = self._permit()
        self._document(
            permit,
            state="pending_signature",
            pending_since=now - timedelta(hours=49, minutes=1),
            responsible_id=self.rina.id,
        )
        self._document(
            permit,
            state="pending_signature",
            pending_since=now - timedelta(hours=23),
            responsible_id=self.joko.id,
        )
        trigger = self.env.ref(f"{MODULE}.sicantik_notification_trigger_document_pending_reminder")
        self.assertEqual(self._local(trigger.next_run).hour, 10)
        trigger.next_run -= timedelta(days=1)  # the last time that it was ten o'clock
        self.assertMessages(
            {
                "6281200000011": "Pengingat: 2 dokumen masih menunggu tanda tangan.\n\n"
                "Jenis izin: SIUP\nPemohon: John Doe\nSudah menunggu: 2 hari 1 jam\n\n"
                f"Buka dasbor: {BASE_URL}/web\n\nMohon segera ditindaklanjuti."
            }
        )
        self.assertGreater(trigger.next_run, now)
        self.assertEqual(self._local(trigger.next_run).hour, 10, "and again the next day")

    def test_6_peringatan_masa_berlaku_izin(self):
        """Trigger: Cron job (daily 09:00) → Izin akan habis dalam 90/60/30/7 hari. Recipient: Pemohon izin.
        Template Key: `permit_expiry_warning`.
        """
        self._turn_on("permit_expiry_warning")
        today = self._local(fields.Datetime.now()).date()
        expected = {}
        for number, days in enumerate((90, 60, 30, 7, 91, 59, 31, 8), 31):
            expiry = today + timedelta(days=days)
            applicant = self._partner(f"Pemohon {days}", f"0812000000{number}")
            self._permit(
                partner_id=applicant.id,
                state="active",
                registration_id=f"REG-{days}",
                permit_number=f"503/{days}",
                expiry_date=expiry,
            )
            if days in (90, 60, 30, 7):
                expected[f"62812000000{number}"] = (
                    f"Yth. Pemohon {days}, izin SIUP Anda dengan nomor 503/{days} akan berakhir pada "
                    f"{expiry:%d-%m-%Y} ({days} hari lagi).\n\n"
                    f"Ajukan perpanjangan di: {BASE_URL}/renewal/REG-{days}\n"
                    "Informasi lebih lanjut: DPMPTSP, 0628-20001\n\n"
                    "Abaikan pesan ini jika perpanjangan sudah diajukan."
                )
        self.assertMessages(expected)

    def test_7_perpanjangan_izin_disetujui(self):
        """Trigger: `sicantik.permit.write()` → `is_renewal == True` dan `status == 'active'`.
        Recipient: Pemohon izin. Template Key: `permit_renewal_approved`.
        """
        self._turn_on("permit_renewal_approved", "permit_ready")
        permit = self._permit(is_renewal=True)
        permit.write({"status": "active", "issue_date": "2026-01-01", "expiry_date": "2030-12-31"})
        self.assertMessages(
            {
                "6281200000001": "Yth. John Doe, perpanjangan izin SIUP Anda telah disetujui.\n\n"
                "Nomor izin baru: 503.517-0186-IX-SIUP-DPM-PPTSP-2018\n"
                "Masa berlaku: 01-01-2026 sampai 31-12-2030 (5 tahun)\n"
                f"Unduh dokumen izin: {BASE_URL}/download/REG-0186\n\n"
                "Terima kasih telah menggunakan layanan SICANTIK."
            }
        )
