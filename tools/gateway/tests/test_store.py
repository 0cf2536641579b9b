import unittest

from ..store import FaultBook, Mailbox


class TestMailbox(unittest.TestCase):
    def test_keeps_the_newest(self):
        mailbox = Mailbox(keep=3)
        for number in range(5):
            mailbox.add("fonnte", f"628120000000{number}", "Halo")
        self.assertEqual([message.id for message in mailbox.since()], [3, 4, 5])
        self.assertEqual([message.id for message in mailbox.since(4)], [5])
        self.assertEqual([message.id for message in mailbox.since(9)], [])
        self.assertEqual([message.id for message in mailbox.newest(2)], [4, 5])
        self.assertEqual(mailbox.counts["fonnte"], 5)


class TestFaultBook(unittest.TestCase):
    def test_forgets_old_faults_that_were_played_out(self):
        faults = FaultBook(keep=2)
        lasting = faults.add(provider="meta", fault="131042", to="6281200000001")
        for _turn in range(5):
            faults.add(provider="*", fault="slow", times=1)
            self.assertIsNotNone(faults.take("fonnte", "send", ["6281200000002"]))
        faults.add(provider="*", fault="slow", times=1)
        kept = faults.list()
        self.assertEqual(kept[0]["id"], lasting.id)
        self.assertEqual(len(kept), 4)
        self.assertTrue(faults)
