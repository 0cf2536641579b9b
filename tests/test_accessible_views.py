"""Who works by keyboard or screen reader finds a name on everything, and colours that can be told apart."""

import re
from pathlib import Path

from lxml import etree

from odoo.modules.module import get_module_path
from odoo.tests import TransactionCase, tagged

MODULE = "sicantik_notification_automation"
ICON = re.compile(r"(^|\s)(fa|oi)(\s|$)")
# Of OWL templates any of these may be computed: `t-att-title`, `t-attf-title`.
NAMES = ("title", "aria-label", "aria-labelledby")


def attribute(node, name):
    """Give an attribute, whether it is written or computed."""
    return node.get(name) or node.get(f"t-att-{name}") or node.get(f"t-attf-{name}")


def has_name(node):
    return any(attribute(node, name) for name in NAMES)


def has_text(node):
    """Tell whether something can be read in an element, written or computed."""
    shown = (node.get(name) for name in ("string", "t-esc", "t-out", "t-field", "data-tooltip"))
    inside = (one for one in node.iter() if isinstance(one.tag, str))
    return (
        "".join(node.itertext()).strip()
        or any(shown)
        or any(
            one.tag in ("field", "t") or one.get("t-esc") or one.get("t-out")
            for one in inside
            if one is not node
        )
    )


@tagged("post_install", "-at_install")
class TestAccessibleViews(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        data = cls.env["ir.model.data"].search([("module", "=", MODULE), ("model", "=", "ir.ui.view")])
        cls.views = {
            view.xml_id: etree.fromstring(view.arch_db)
            for view in cls.env["ir.ui.view"].with_context(lang=None).browse(data.mapped("res_id"))
        }
        sources = sorted((Path(get_module_path(MODULE)) / "static/src").rglob("*.xml"))
        cls.templates = {path.name: etree.parse(str(path)).getroot() for path in sources}

    def nodes(self, *tags):
        """Give the elements of all views and templates: (where, element)."""
        for where, root in {**self.views, **self.templates}.items():
            for node in root.iter(*tags):
                yield f"{where}:{node.sourceline} {etree.tostring(node)[:160]}", node

    def assertNone(self, found, what):
        self.assertFalse(found, f"{what}:\n" + "\n".join(found))

    def test_there_is_something_to_look_at(self):
        self.assertGreater(len(self.views), 20)
        self.assertTrue(self.templates)

    def test_icons(self):
        """An icon that stands alone has a name; one beside its text is passed over by screen readers."""
        nameless = [
            where
            for where, node in self.nodes("i", "span")
            if ICON.search(node.get("class") or node.get("t-attf-class") or "")
            and not has_name(node)
            and not has_text(node)
            and node.get("aria-hidden") != "true"
        ]
        self.assertNone(nameless, "icons without title or aria-label")

    def test_buttons(self):
        nameless = [
            where for where, node in self.nodes("button", "a") if not has_text(node) and not has_name(node)
        ]
        self.assertNone(nameless, "buttons without a text")

    def test_images(self):
        nameless = [where for where, node in self.nodes("img") if attribute(node, "alt") is None]
        self.assertNone(nameless, "images without alt")

    def test_alerts(self):
        silent = [
            where
            for where, node in self.nodes("div", "p")
            if re.search(r"(^|\s)alert(\s|$)", node.get("class") or node.get("t-attf-class") or "")
            and node.get("role") not in ("alert", "status")
        ]
        self.assertNone(silent, "alerts without a role")

    def test_fields_without_a_label(self):
        """In a group, a field without its label has a heading: a separator, a label, or the group's own."""
        bare = []
        for where, node in self.nodes("field"):
            parent = node.getparent()
            if node.get("nolabel") != "1" or parent.tag != "group":
                continue
            labelled = parent.xpath(f".//label[@for='{node.get('name')}']")
            heading = list(node.itersiblings("separator", preceding=True))
            if not labelled and not heading and not parent.get("string") and not node.get("placeholder"):
                bare.append(where)
        self.assertNone(bare, "fields of groups without a label")

    def test_labels_lead_to_fields(self):
        lost = []
        for where, node in self.nodes("label"):
            target = node.get("for")
            root = node.getroottree()
            if target and not root.xpath(f"//field[@name='{target}'] | //*[@id='{target}']"):
                lost.append(where)
        self.assertNone(lost, "labels of fields that are not there")

    def test_nothing_jumps_the_queue(self):
        """The tab key goes through the page in its order; nothing that can be clicked is out of its reach."""
        jumping = [
            where
            for where, node in self.nodes("*")
            if (attribute(node, "tabindex") or "0") not in ("0", "-1")
            or (
                attribute(node, "t-on-click")
                and node.tag not in ("button", "a", "input", "select", "summary", "t")
                and node.get("tabindex") is None
                and not node.tag[0].isupper()
            )
        ]
        self.assertNone(jumping, "elements out of the tab key's reach or order")

    def test_tables(self):
        """A table says which cells are its headings."""
        without = [where for where, node in self.nodes("table") if not node.xpath(".//th")]
        self.assertNone(without, "tables without headings")
