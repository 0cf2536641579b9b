"""The user guides say what is there: menus, words on the pages, links.

In both guides **bold** is what one reads on the screen: a path with arrows is a menu, anything else stands on
one of the pages that the chapter (a heading of the second level) names by such a path, or by a comment:
`<!-- pages: sicantik.notification.test.wizard, overview -->`. What is Odoo's own is in *italics*, data
and what is typed in `code` or quotes: they are not looked up.
"""

import ast
import os
import re
import unittest
from pathlib import Path
from urllib.parse import unquote

from lxml import etree

from odoo.tests import TransactionCase, tagged
from odoo.tools.translate import code_translations

from .common import ADDON

MODULE = "sicantik_notification_automation"
# Odoo 19 runs a copy of the addon, without what is for readers of the repository.
ROOT = Path(os.environ.get("SICANTIK_ROOT") or ADDON)
GUIDES = {"en_US": "docs/guide.md", "id_ID": "docs/panduan.md"}
#: Their menus are named by the guides.
TRANSLATED = ("base", "base_setup", MODULE)
ARROW = " → "

CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
BOLD = re.compile(r"\*\*(.+?)\*\*", re.S)
PAGES = re.compile(r"<!-- pages: (.+?) -->", re.S)
LINK = re.compile(r"""\]\(([^)\s]+)\)|<(?:img|a)\b[^>]*?\b(?:src|href)="([^"]+)\"""")
SHOWN = ("string", "title", "data-string", "placeholder", "help", "confirm", "aria-label")
VIEWS = [(False, kind) for kind in ("form", "list", "kanban", "search")]


def words(text):
    """Give a text as it is compared: one line, no colon or ellipsis at its end."""
    return " ".join(text.split()).rstrip(":… ")


def chapters(text):
    """Give the parts of a guide that its headings of the second level begin."""
    return re.split(r"^(?=## )", text, flags=re.M)[1:]


@tagged("post_install", "-at_install")
@unittest.skipUnless((ROOT / "docs").is_dir(), "this copy of the addon has no docs")
class TestGuide(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["res.lang"]._activate_lang("id_ID")
        cls.env["ir.module.module"].search([("name", "in", TRANSLATED)])._update_translations(["id_ID"])
        cls.env = cls.env(user=cls.env.ref("base.user_admin"))
        cls.known = {}

    def guide(self, lang):
        self.language = lang
        self.pages = self.env(context={**self.env.context, "lang": lang})
        return (ROOT / GUIDES[lang]).read_text(encoding="utf-8")

    # === WHAT IS THERE ===#

    def find_menu(self, path):
        """Follow a path of menus.

        :return: the menu (None when it is not there), and the names that come after it
        """
        menus = self.pages["ir.ui.menu"].load_menus(True)
        ids, found, names = menus["root"]["children"], None, path.split(ARROW)
        while names and ids:
            found = next((menus[one] for one in ids if menus[one]["name"] == names[0]), None)
            if not found:
                return None, names
            ids, names = found["children"], names[1:]
        return found, names

    def words_of_action(self, model, action_id):
        action = self.pages[model].browse(action_id)
        if model == "ir.actions.client":
            return self.words_of_client()
        views = [*action.views, (action.search_view_id.id, "search")]
        return {words(action.name), *self.words_of_model(action.res_model, views)}

    def words_of_model(self, name, views=VIEWS):
        """Collect what people can read on the pages of a model."""
        key = (self.language, name, str(views))
        if key not in self.known:
            model = self.pages[name]
            described = model.get_views(
                [[one[0], "list" if one[1] == "tree" else one[1]] for one in views], {"toolbar": True}
            )
            texts = []
            for view in described["views"].values():
                texts += self._texts(etree.fromstring(view["arch"]))
                for actions in view.get("toolbar", {}).values():
                    texts += [action["name"] for action in actions]
            for others in {name, *described["models"]}:
                for field in self.pages[others].fields_get().values():
                    texts.append(field["string"])
                    options = field.get("selection", ())
                    texts += [label for _value, label in options] if isinstance(options, list | tuple) else []
            self.known[key] = {words(text) for text in texts if text}
        return self.known[key]

    def _texts(self, tree):
        for node in tree.iter(etree.Element):
            yield from (node.get(name) for name in SHOWN if node.get(name))
            yield from (text for text in (node.text, node.tail) if text and text.strip())

    def words_of_client(self):
        """Collect what our own parts of the web client say."""
        translated = code_translations.get_web_translations(MODULE, self.language)
        texts = {message["id"]: message["string"] for message in translated.get("messages", ())}
        found = []
        for path in Path(ADDON, "static/src").rglob("*.xml"):
            found += self._texts(etree.parse(str(path)).getroot())
        for path in Path(ADDON, "static/src").rglob("*.js"):
            found += (ast.literal_eval(text) for text in re.findall(r'_t\(\s*("[^"\n]*")', path.read_text()))
        found = [text.strip() for text in found]
        return {words(texts.get(text) or texts.get(" ".join(text.split())) or text) for text in found}

    # === THE GUIDES ===#

    def test_every_menu_path_and_every_word_is_there(self):
        for lang, name in GUIDES.items():
            text = self.guide(lang)
            self.assertIn("### 7.4", text)
            for chapter in chapters(text):
                title = chapter.splitlines()[0]
                with self.subTest(f"{name} {title}"):
                    self.assertEqual(self.missing_from(chapter), [])

    def missing_from(self, chapter):
        """Give the bold words of a chapter that stand on none of its pages, and the menus that are not."""
        missing, there, labels = [], set(), []
        for names in PAGES.findall(chapter):
            for name in re.split(r",\s*", names.strip()):
                there |= self.words_of_client() if name == "overview" else self.words_of_model(name)
        for bold in BOLD.findall(CODE.sub("", chapter)):
            bold = words(bold)
            if ARROW not in bold:
                labels.append(bold)
                continue
            menu, rest = self.find_menu(bold)
            if not menu:
                missing.append(bold)
                continue
            there |= set(bold.split(ARROW)[: len(bold.split(ARROW)) - len(rest)])
            action = self.env["ir.ui.menu"].browse(menu["id"]).action
            if action:
                there |= self.words_of_action(action._name, action.id)
            labels += rest
        return missing + [label for label in labels if label not in there]

    def test_both_guides_have_the_same_chapters_and_pictures(self):
        outlines = []
        for lang in GUIDES:
            text = self.guide(lang)
            headings = re.findall(r"^(#+) ([\d.]*)", text, re.M)
            outlines.append((headings, re.findall(r"\]\(img/(?:en/|id/)?([\w-]+\.png)\)", text)))
        self.assertEqual(*outlines)
        self.assertGreater(len(outlines[0][1]), 10)

    # === LINKS ===#

    def test_every_link_leads_somewhere(self):
        pages = [ROOT / "README.md", ROOT / "static/description/index.html", *ROOT.glob("docs/*.md")]
        broken = [f"{page.name}: {target}" for page in pages for target in self.broken_links(page)]
        self.assertEqual(broken, [])

    def broken_links(self, page):
        """Give the links of a page to files and headings that are not there."""
        for match in LINK.finditer(CODE.sub("", page.read_text(encoding="utf-8"))):
            target = unquote(match[1] or match[2])
            name, _hash, anchor = target.partition("#")
            file = page.parent / name if name else page
            if re.match(r"[a-z]+:", target):
                continue
            if not file.exists() or (anchor and anchor not in self.anchors(file)):
                yield target

    def anchors(self, path):
        """Give the anchors that a page's headings get."""
        titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
