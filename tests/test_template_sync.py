"""What Meta says about our templates, and what services say about their senders."""

from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user

from ..providers import errors, events
from .webhooks import DoorCase, EventCase

MODULE = "sicantik_notification_automation"


class TestTemplateSync(EventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meta = cls._meta()
        cls.masters = cls.env["sicantik.whatsapp.template.master"]
        cls.masters.search([("meta_template_name", "!=", False)]).meta_template_name = False
        cls.meta_template.write({"meta_template_name": "izin_siap", "meta_status": "configured"})

    def list_at_meta(self, *templates, page_size=2):
        """Have the simulated Meta store these templates: (name, status, quality)."""
        self.gateway.account(
            meta={
                "page_size": page_size,
                "templates": [
                    {
                        "name": name,
                        "language": "id",
                        "status": status,
                        "category": "UTILITY",
                        "components": [{"type": "BODY", "text": "{{1}} {{2}}"}],
                        **more,
                    }
                    for name, status, more in templates
                ],
            }
        )

    def master(self, name, **vals):
        return self.masters.create(
            {"template_key": name, "name": name, "body_preview": "Hi", "meta_template_name": name, **vals}
        )

    def change(self, status, name="izin_siap", key="", **values):
        return events.TemplateChange(key or f"{name}:{status}", name, "id", status, **values)

    def activities(self, template=None):
        return (template or self.meta_template).activity_ids

    def test_pages_and_unknown_states(self):
        others = {
            status: self.master(f"izin_{status.lower()}", meta_status="approved")
            for status in ("REJECTED", "PAUSED", "DISABLED", "PENDING", "IN_APPEAL", "SOMETHING_NEW")
        }
        missing = self.master("izin_gone")
        self.list_at_meta(
            ("izin_siap", "APPROVED", {}),
            ("not_ours", "APPROVED", {}),
            *((f"izin_{status.lower()}", status, {}) for status in others),
        )
        action = self.meta.action_sync_templates()
        message = action["params"]["message"]
        self.assertIn("7 templates updated, 1 of ours missing at Meta, 1 of Meta's unknown here", message)
        self.assertIn(missing.meta_template_name, message)
        self.assertEqual(
            (self.meta_template.meta_status, self.meta_template.meta_category), ("approved", "UTILITY")
        )
        self.assertEqual(
            {status: (one.meta_status, one.meta_remote_status) for status, one in others.items()},
            {
                "REJECTED": ("rejected", "REJECTED"),
                "PAUSED": ("paused", "PAUSED"),
                "DISABLED": ("paused", "DISABLED"),
                "PENDING": ("draft", "PENDING"),
                "IN_APPEAL": ("draft", "IN_APPEAL"),
                "SOMETHING_NEW": ("draft", "SOMETHING_NEW"),
            },
        )
        self.assertFalse(any(one._is_usable_at_meta() for one in others.values()))
        self.assertFalse(self.activities())

    def test_language_counts(self):
        self.meta_template.language = "en_US"
        self.list_at_meta(("izin_siap", "PAUSED", {}))
        self.meta.action_sync_templates()
        self.assertEqual(self.meta_template.meta_status, "configured")

    def test_refused(self):
        self.meta.api_token = "WRONG"
        action = self.meta.action_sync_templates()
        self.assertEqual(action["params"]["type"], "danger")
        self.assertNotIn("WRONG", action["params"]["message"])
        self.assertEqual(self.meta_template.meta_status, "configured")

    def test_only_for_meta_and_managers(self):
        with self.assertRaises(UserError):
            self._provider("fonnte").action_sync_templates()
        user = new_test_user(self.env, "sync_user", groups=f"{MODULE}.group_notification_user")
        with self.assertRaises(AccessError):
            self.meta.with_user(user).action_sync_templates()
        manager = new_test_user(self.env, "sync_manager", groups=f"{MODULE}.group_notification_manager")
        self.list_at_meta(("izin_siap", "APPROVED", {}))
        self.meta.with_user(manager).action_sync_templates()
        self.assertEqual(self.meta_template.meta_status, "approved")

    def test_paused_by_webhook(self):
        """Meta is not asked for it any more, and the managers hear of it once."""
        fonnte = self._provider("fonnte")
        row, _log = self.send()
        self.assertSent(row, "meta")
        event = self.told(self.meta, self.change("PAUSED", reason="LOW_QUALITY"))
        self.assertEqual(event.state, "applied")
        row, _log = self.send()
        self.assertSent(row, "fonnte")
        activities = self.activities()
        managers = self.env.ref(f"{MODULE}.group_notification_manager")
        self.assertIn(self.env.ref("base.user_admin"), activities.user_id)
        self.assertTrue(
            all(user.has_group(f"{MODULE}.group_notification_manager") for user in activities.user_id)
        )
        self.assertEqual(len(activities), len(activities.user_id), managers.name)
        self.assertIn("LOW_QUALITY", activities[0].note)
        self.told(self.meta, self.change("PAUSED", key="again"))
        self.assertEqual(self.activities(), activities)
        self.told(self.meta, self.change("DISABLED"))
        self.assertEqual(len(self.activities()), len(activities), "one for each change")
        self.assertIn("DISABLED", self.activities()[0].note)
        self.told(self.meta, self.change("APPROVED"))
        self.assertFalse(self.activities())
        row, _log = self.send()
        self.assertSent(row, "meta")
        self.assertTrue(fonnte.active)

    def test_quality_alone(self):
        self.told(self.meta, self.change("", quality="RED", key="q"))
        self.assertEqual(
            (self.meta_template.meta_quality, self.meta_template.meta_status), ("RED", "configured")
        )
        self.told(self.meta, self.change("FLAGGED"))
        self.assertTrue(self.meta_template._is_usable_at_meta())

    def test_template_that_is_not_ours(self):
        event = self.told(self.meta, self.change("PAUSED", name="not_ours"))
        self.assertEqual(event.state, "unmatched")


class TestSenderChange(EventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.waha = cls._provider("waha", app_secret="WAHA-SECRET-DEMO", sequence=1)
        cls.fonnte = cls._provider("fonnte", sequence=50)

    def change(self, key, works, **values):
        return events.SenderChange(key, works, **values)

    def test_down_and_up(self):
        self.told(
            self.waha,
            self.change(
                "1", False, error_class=errors.ACCOUNT_BLOCKED, error_message="Link the device again."
            ),
        )
        self.assertEqual(
            (self.waha.credential_state, self.waha.last_error_message), ("error", "Link the device again.")
        )
        self.assertTrue(self.waha.probe_date and self.waha.activity_ids)
        row, _log = self.send()
        self.assertSent(row, "fonnte")
        self.told(self.waha, self.change("2", True))
        self.assertEqual((self.waha.credential_state, self.waha.last_error_message), ("configured", False))
        self.assertFalse(self.waha.probe_date or self.waha.activity_ids)
        row, _log = self.send()
        self.assertSent(row, "waha")

    def test_the_last_word_counts(self):
        self.told(self.waha, self.change("1", False), self.change("2", True))
        self.assertEqual(self.waha.credential_state, "configured")
        self.told(self.waha, self.change("3", True), self.change("4", False))
        self.assertEqual(self.waha.credential_state, "error")

    def test_untested_credentials_stay_so(self):
        self.waha.credential_state = "draft"
        self.told(self.waha, self.change("1", True))
        self.assertEqual(self.waha.credential_state, "draft")


class TestChangesOverHttp(DoorCase):
    def test_webhooks_of_the_services(self):
        meta, waha = self._meta(), self._provider("waha", app_secret="WAHA-SECRET-DEMO")
        for provider in (meta, waha):
            self.connect(provider)
        told = {"name": "izin_siap", "language": "id", "status": "PAUSED"}
        self.assertEqual(self.happen(meta, "template", **told), [200])
        self.assertEqual(self.happen(waha, "sender", works=False), [200])
        self.env.invalidate_all()
        self.drain()
        self.assertEqual(self.meta_template.meta_status, "paused")
        self.assertEqual(waha.credential_state, "error")
        self.happen(waha, "sender", works=True)
        self.env.invalidate_all()
        self.drain()
        self.assertEqual(waha.credential_state, "configured")


class TestEventRights(EventCase):
    def test_who_sees_events(self):
        other = self.env["res.company"].create({"name": "Other"})
        mine, theirs = (
            self._meta(company_id=self.env.company.id),
            self._meta(company_id=other.id, name="Theirs"),
        )
        for provider in (mine, theirs, self._provider("fonnte")):
            self.tell(provider, self.receipt("wamid.1", "sent"))
        manager = new_test_user(self.env, "event_manager", groups=f"{MODULE}.group_notification_manager")
        seen = self.events.with_user(manager).search([])
        self.assertEqual(seen.provider_id.mapped("provider_type"), ["fonnte", "meta"])
        self.assertNotIn(theirs, seen.provider_id)
        for call in (lambda: seen.write({"state": "applied"}), seen.unlink, lambda: seen[0].copy()):
            with self.assertRaises(AccessError):
                call()
        user = new_test_user(self.env, "event_user", groups=f"{MODULE}.group_notification_user")
        with self.assertRaises(AccessError):
            self.events.with_user(user).search([]).read(["payload"])
