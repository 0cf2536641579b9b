"""Meta's list of templates, read by page from the simulator (providers.md 1.11)."""

import unittest

from .. import TemplateInfo, TemplatesRefused, provider_for
from .support import closed_port, gateway, saying

BODY = "{{1}}, izin {{ 2 }} selesai. Sampai jumpa, {{1}}."


class TestTemplateList(unittest.TestCase):
    def setUp(self):
        self.gateway = gateway()
        self.gateway.reset()

    def pages(self, **changes):
        return list(provider_for(self.gateway.account("meta", **changes)).list_templates())

    def refused(self, **changes):
        with self.assertRaises(TemplatesRefused) as caught:
            self.pages(**changes)
        self.assertNotIn("META-TOKEN-DEMO", str(caught.exception))
        return str(caught.exception)

    def test_one_template(self):
        self.gateway.configure(
            meta={"templates": [{"id": "9", "name": "izin_selesai", "body": BODY, "quality": "GREEN"}]}
        )
        self.assertEqual(
            self.pages(),
            [[TemplateInfo("9", "izin_selesai", "id", "APPROVED", "UTILITY", "GREEN", BODY, 2)]],
        )

    def test_pages_languages_and_unknown_states(self):
        states = ("APPROVED", "PENDING", "REJECTED", "PAUSED", "DISABLED", "IN_APPEAL", "SOMETHING_NEW")
        rows = [{"name": f"t{index}", "status": state} for index, state in enumerate(states)]
        rows.append({"name": "t0", "language": "en_US"})
        self.gateway.configure(meta={"templates": rows, "page_size": 3})
        pages = self.pages()
        self.assertEqual([len(page) for page in pages], [3, 3, 2])
        self.assertEqual([one.status for page in pages for one in page], [*states, "APPROVED"])
        self.assertEqual((pages[2][1].name, pages[2][1].language), ("t0", "en_US"))
        asked = [one for one in self.gateway.requests() if one["path"].endswith("/message_templates")]
        self.assertEqual(len(asked), 3)

    def test_no_templates(self):
        self.gateway.configure(meta={"templates": []})
        self.assertEqual(self.pages(), [[]])

    def test_not_asked_before_it_is_needed(self):
        provider_for(self.gateway.account("meta")).list_templates()
        self.assertEqual(self.gateway.requests(), [])

    def test_refusals_are_sentences(self):
        self.assertIn("WABA ID", self.refused(account_id=""))
        self.assertIn("Create a new permanent access token", self.refused(api_token="WRONG"))
        self.assertIn("WABA ID", self.refused(account_id="100000000000009"))
        self.assertIn("base URL", self.refused(base_url=f"http://127.0.0.1:{closed_port()}"))
        self.gateway.play("meta", "80007", on="test")
        self.assertIn("slow down", self.refused())
        self.gateway.play("meta", "http:502", on="test")
        self.assertIn("cannot be read", self.refused())

    def test_a_refusal_in_the_middle(self):
        self.gateway.configure(meta={"templates": [{"name": f"t{i}"} for i in range(4)], "page_size": 2})
        pages = provider_for(self.gateway.account("meta")).list_templates()
        self.assertEqual(len(next(pages)), 2)
        self.gateway.play("meta", "190", on="test")
        with self.assertRaises(TemplatesRefused):
            next(pages)

    def test_a_list_without_end(self):
        page = {"data": [], "paging": {"next": "x", "cursors": {"after": "again"}}}
        with saying(page) as server:
            self.assertIn("come to an end", self.refused(base_url=server.url))
            self.assertEqual(len(server.requests), 2)

    def test_junk_in_the_list(self):
        rows = [None, 1, [], {}, {"name": "x"}, {"name": "a", "language": "id", "components": {"type": []}}]
        rows.append({"name": ["b"], "language": "id"})
        with saying({"data": rows, "paging": []}) as server:
            self.assertEqual(self.pages(base_url=server.url), [[TemplateInfo("", "a", "id", "", "")]])
        for body in ([], {"data": {}}, b"<html>"):
            with saying(body) as server:
                self.assertIn("could not be understood", self.refused(base_url=server.url))
