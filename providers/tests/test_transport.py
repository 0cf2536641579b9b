"""Whether a request left: the line that decides between "try again" and "ask a person"."""

import gzip
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from .. import connections, transport
from ..transport import NotSent, OutcomeUnknown
from .support import ROOT, RawServer, closed_port, http_answer, saying

TIMEOUT = (0.5, 0.5)


def post(url, **options):
    return transport.request("POST", url, **{"json": {"a": 1}, "timeout": TIMEOUT, **options})


def hang(server, connection):
    """Say nothing until the other side goes."""
    while connection.recv(65536):
        pass


class TestNotSent(unittest.TestCase):
    def assert_not_sent(self, url, reason, **options):
        with self.assertRaises(NotSent) as caught:
            post(url, **options)
        self.assertIn(reason, str(caught.exception))
        self.assertNotIn(url, str(caught.exception))

    def test_refused_connection(self):
        self.assert_not_sent(f"http://127.0.0.1:{closed_port()}/", "refused")

    def test_unknown_host(self):
        self.assert_not_sent("http://gateway.invalid/", "host name")

    def test_connect_timeout(self):
        # With its backlog full, Linux leaves further connections unanswered.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            address = listener.getsockname()
            waiting = []
            try:
                for _attempt in range(3):
                    waiting.append(socket.socket())
                    waiting[-1].setblocking(False)
                    waiting[-1].connect_ex(address)
                self.assert_not_sent(f"http://127.0.0.1:{address[1]}/", "no connection within 0.5 s")
            finally:
                for one in waiting:
                    one.close()

    def test_no_tls_on_the_other_side(self):
        def talk(_server, connection):
            connection.recv(65536)
            connection.sendall(http_answer(b"", "400 Bad Request"))

        with RawServer(talk) as server:
            self.assert_not_sent(f"https://127.0.0.1:{server.port}/", "TLS")

    def test_tls_handshake_that_never_ends(self):
        with RawServer(hang) as server:
            self.assert_not_sent(f"https://127.0.0.1:{server.port}/", "no connection within 0.5 s")

    def test_tls_handshake_that_is_cut(self):
        with RawServer(lambda _server, connection: connection.recv(10)) as server:
            self.assert_not_sent(f"https://127.0.0.1:{server.port}/", "")

    def test_malformed_requests(self):
        for url in (
            "gateway",
            "ftp://127.0.0.1/",
            "http://",
            "http://[/",
            "http://.a/",
            "http://a..b/",
            "http://*.a/",
            "http://" + "a" * 300 + "/",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:x/",
            "http://\x00/",
        ):
            with self.subTest(url), self.assertRaises(NotSent):
                post(url)
        with self.assertRaises(NotSent):
            post("http://127.0.0.1:9/", headers={"Authorization": "a\nb"})

    def test_proxy_that_refuses_the_tunnel(self):
        with saying(b"", "403 Forbidden") as proxy:
            with mock.patch.dict(os.environ, {"https_proxy": proxy.url, "no_proxy": "", "NO_PROXY": ""}):
                self.assert_not_sent("https://gateway.invalid/", "proxy")
            self.assertTrue(proxy.requests[0].startswith(b"CONNECT gateway.invalid:443"))

    def test_no_proxy_there(self):
        proxy = f"http://127.0.0.1:{closed_port()}"
        with mock.patch.dict(os.environ, {"http_proxy": proxy, "no_proxy": "", "NO_PROXY": ""}):
            self.assert_not_sent("http://gateway.invalid/", "refused")

    def test_all_connections_busy(self):
        small = transport._Transport(pool_size=1)
        self.addCleanup(small.close)
        started = threading.Event()

        def talk(server, connection):
            server.read(connection)
            started.set()
            hang(server, connection)

        with (
            RawServer(talk) as server,
            mock.patch.object(transport, "_transport", small),
            mock.patch.object(connections, "POOL_TIMEOUT", 0.1),
            ThreadPoolExecutor(1) as pool,
        ):
            first = pool.submit(post, server.url, timeout=(0.5, 2.0))
            self.assertTrue(started.wait(5))
            self.assert_not_sent(server.url, "busy")
            self.assertIsInstance(first.exception(10), OutcomeUnknown)


class TestOutcomeUnknown(unittest.TestCase):
    def assert_unknown(self, talk, reason, **options):
        with RawServer(talk) as server:
            with self.assertRaises(OutcomeUnknown) as caught:
                post(server.url, **options)
            self.assertIn(reason, str(caught.exception))
            self.assertEqual(server.connections, 1)

    def test_no_answer(self):
        self.assert_unknown(hang, "no answer within 0.5 s")

    def test_connection_closed_unread(self):
        self.assert_unknown(lambda _server, _connection: None, "cut")

    def test_connection_closed_after_reading(self):
        self.assert_unknown(lambda server, connection: server.read(connection), "cut")

    def test_connection_reset(self):
        def talk(server, connection):
            server.read(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        self.assert_unknown(talk, "cut")

    def test_answer_cut(self):
        whole = http_answer(b'{"status": true}      ')
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}"
        # The third is whole as JSON, but six bytes short of what was announced.
        for answer in (whole[:10], whole[:-10], whole[:-6], chunked):
            with self.subTest(answer):

                def talk(server, connection, answer=answer):
                    server.read(connection)
                    connection.sendall(answer)

                self.assert_unknown(talk, "cut")

    def test_answer_that_stops(self):
        def talk(server, connection):
            server.read(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
            hang(server, connection)

        self.assert_unknown(talk, "no answer within 0.5 s")

    def test_no_http(self):
        def talk(server, connection):
            server.read(connection)
            connection.sendall(b"hello\r\n\r\n")

        self.assert_unknown(talk, "cut")

    def test_answer_too_long(self):
        with mock.patch.object(transport, "MAX_BODY", 1000), saying(b"x" * 2000) as server:
            with self.assertRaises(OutcomeUnknown):
                post(server.url)

    def test_reset_behind_a_proxy(self):
        """requests calls this "Cannot connect to proxy"; the request was read all the same."""

        def talk(server, connection):
            server.read(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        with RawServer(talk) as proxy:
            with mock.patch.dict(os.environ, {"http_proxy": proxy.url, "no_proxy": "", "NO_PROXY": ""}):
                with self.assertRaises(OutcomeUnknown):
                    post("http://gateway.invalid/")
            self.assertEqual(len(proxy.requests), 1)

    def test_kept_connection_that_the_server_gives_up(self):
        def talk(server, connection):
            server.read(connection)
            connection.sendall(http_answer(b"{}"))
            server.read(connection)

        with RawServer(talk) as server:
            post(server.url)
            with self.assertRaises(OutcomeUnknown):
                post(server.url)
            self.assertEqual((server.connections, len(server.requests)), (1, 2))


def dripping(answer, pause=0.1):
    """Return a server that says ``answer`` byte by byte, each well within the timeout between two pieces."""

    def talk(server, connection):
        while server.read(connection):
            for number in range(len(answer)):
                connection.sendall(answer[number : number + 1])
                time.sleep(pause)

    return RawServer(talk)


class TestDeadline(unittest.TestCase):
    """However it drips, an exchange takes no longer than both timeouts together. Whole, these answers would
    take longer and be accepted."""

    def assert_cut(self, answer):
        with dripping(answer) as server:
            with self.assertRaises(OutcomeUnknown) as caught:
                post(server.url)
            self.assertIn("not done within 1 s", str(caught.exception))
            self.assertEqual(len(server.requests), 1)

    def test_dripping_status_and_headers(self):
        self.assert_cut(http_answer(b"{}"))

    def test_answer_that_is_announced_for_ever(self):
        self.assert_cut(b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + http_answer(b"{}"))

    def test_dripping_body(self):
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n"
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for head, body in ((whole, b" " * 28 + b"{}"), (chunked, b"1\r\n1\r\n" * 6 + b"0\r\n\r\n")):

            def talk(server, connection, head=head, body=body):
                server.read(connection)
                connection.sendall(head)
                for number in range(len(body)):
                    connection.sendall(body[number : number + 1])
                    time.sleep(0.1)

            with self.subTest(head), RawServer(talk) as server:
                with self.assertRaises(OutcomeUnknown) as caught:
                    post(server.url)
                self.assertIn("not done within 1 s", str(caught.exception))

    def test_proxy_that_drips_before_the_tunnel(self):
        with (
            dripping(b"HTTP/1.1 200 Connection established\r\n\r\n") as proxy,
            mock.patch.dict(os.environ, {"https_proxy": proxy.url, "no_proxy": "", "NO_PROXY": ""}),
        ):
            with self.assertRaises(NotSent) as caught:
                post("https://gateway.invalid/")
            self.assertIn("not done within 1 s", str(caught.exception))

    def test_what_the_resolver_held_up_does_not_leave(self):
        addresses = connections._addresses

        def late(*args):
            time.sleep(0.3)
            return addresses(*args)

        with saying({}) as server, mock.patch.object(connections, "_addresses", late):
            with self.assertRaises(NotSent):
                post(server.url, timeout=(0.1, 0.1))
            self.assertEqual(server.requests, [])

    def test_addresses_are_tried_in_turn_until_the_end(self):
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, saying({}) as server:
            waiting = [socket.socket() for _attempt in range(3)]
            try:
                for one in waiting:
                    one.setblocking(False)
                    one.connect_ex(silent.getsockname())
                family = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
                dead, alive = (*family, silent.getsockname()), (*family, ("127.0.0.1", server.port))
                for found, expected in (([dead, alive], None), ([dead] * 5 + [alive], NotSent)):
                    with mock.patch.object(connections, "_addresses", return_value=found):
                        if expected:
                            self.assertRaises(expected, post, "http://gateway.test/", timeout=(0.3, 0.5))
                        else:
                            self.assertEqual(post("http://gateway.test/", timeout=(0.3, 0.5)).status, 200)
                    transport.close()
                self.assertEqual(len(server.requests), 1)
            finally:
                for one in waiting:
                    one.close()

    def test_a_hurried_connection_is_not_kept(self):
        answer = http_answer(b"{}")

        def talk(server, connection):
            while server.read(connection):
                for piece in (answer[:9], answer[9:20], answer[20:]):
                    time.sleep(0.2)
                    connection.sendall(piece)

        with RawServer(talk) as server:
            self.assertEqual(post(server.url, timeout=(0.2, 0.9)).status, 200)
            self.assertEqual(post(server.url, timeout=(0.2, 0.9)).status, 200)
            self.assertEqual(server.connections, 2)

    def test_longest(self):
        self.assertEqual(transport.longest((5.0, 30.0)), connections.POOL_TIMEOUT + 40.0)


class TestAnswers(unittest.TestCase):
    def test_answer(self):
        with saying({"ok": True, "name": "é"}, "418 Teapot", "X-Name: value") as server:
            answer = transport.request("GET", server.url, params={"q": "a b"}, timeout=TIMEOUT)
            self.assertTrue(server.requests[0].startswith(b"GET /?q=a+b HTTP/1.1"))
        self.assertEqual((answer.status, answer.body), (418, {"ok": True, "name": "é"}))
        self.assertEqual(answer.headers["x-NAME"], "value")
        self.assertGreaterEqual(answer.elapsed_ms, 0)

    def test_bodies(self):
        for body, parsed in (
            (b"", None),
            (b"<html>", None),
            (b"\xff\xfe\x00", None),
            (b'\xef\xbb\xbf {"a": 1}', {"a": 1}),
            (b"[" * 100_000, None),
            (b"null", None),
        ):
            with saying(body) as server:
                answer = post(server.url)
            self.assertEqual(answer.body, parsed)
            self.assertLessEqual(len(answer.text), transport.MAX_TEXT)

    def test_confidential_parts_do_not_show(self):
        with saying({"echo": "SECRET-1"}, "200 OK", "X-Echo: SECRET-1") as server:
            self.assertNotIn("SECRET-1", repr(post(server.url)))

    def test_redirects_are_not_followed(self):
        with saying({}) as target, saying({}, "307 Moved", f"Location: {target.url}/") as server:
            self.assertEqual(post(server.url).status, 307)
            self.assertEqual(target.connections, 0)

    def test_nothing_is_tried_twice(self):
        with saying({}, "503 Busy", "Retry-After: 0") as server:
            self.assertEqual(post(server.url).status, 503)
            self.assertEqual(len(server.requests), 1)

    def test_cookies_are_not_kept(self):
        with saying({}, "200 OK", "Set-Cookie: session=1; Path=/") as server:
            post(server.url)
            post(server.url)
            self.assertNotIn(b"ookie", server.requests[1])

    def test_compressed_and_chunked_answers(self):
        packed = gzip.compress(b'{"a": 1}')
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
        chunked += b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
        for answer in (http_answer(packed, "200 OK", "Content-Encoding: gzip"), chunked):

            def talk(server, connection, answer=answer):
                while server.read(connection):
                    connection.sendall(answer)

            with self.subTest(answer), RawServer(talk) as server:
                self.assertEqual([post(server.url).body, post(server.url).body], [{"a": 1}] * 2)
                self.assertEqual(server.connections, 1)

    def test_addresses_and_parameters(self):
        for path, params, line in (
            ("/a?b=1", {"c": "2&"}, b"GET /a?b=1&c=2%26 HTTP/1.1\r\n"),
            ("/a b#part", None, b"GET /a%20b HTTP/1.1\r\n"),
        ):
            with saying({}) as server:
                transport.request("GET", server.url + path, params=params, timeout=TIMEOUT)
                self.assertTrue(server.requests[0].startswith(line), server.requests[0])

    def test_forwarding_proxy(self):
        with saying({}) as proxy:
            url = proxy.url.replace("http://", "http://me:secret@")
            with mock.patch.dict(os.environ, {"http_proxy": url, "no_proxy": "here.test", "NO_PROXY": ""}):
                self.assertEqual(post("http://gateway.test:81/a").status, 200)
                with self.assertRaises(NotSent):
                    post("http://here.test/a")
            head = proxy.requests[0]
        self.assertTrue(head.startswith(b"POST http://gateway.test:81/a HTTP/1.1\r\n"))
        self.assertIn(b"Host: gateway.test:81\r\n", head)
        self.assertIn(b"proxy-authorization: basic bwu6c2vjcmv0\r\n", head.lower())

    def test_netrc_does_not_replace_the_credentials(self):
        with tempfile.TemporaryDirectory() as folder, saying({}) as server:
            netrc = Path(folder, "netrc")
            netrc.write_text("machine 127.0.0.1 login a password b\n")
            netrc.chmod(0o600)
            with mock.patch.dict(os.environ, {"NETRC": str(netrc)}):
                post(server.url, headers={"Authorization": "OURS"})
            self.assertIn(b"Authorization: OURS\r\n", server.requests[0])


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificate")
class TestTLS(unittest.TestCase):
    def secured(self, name, pause=0.0):
        """Return a TLS server whose certificate is for ``name`` (as in ``IP:127.0.0.1``), and that file."""
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        key, certificate = folder / "key.pem", folder / "certificate.pem"
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=gateway".split()
        names = ["-addext", f"subjectAltName={name}", "-keyout", key, "-out", certificate]
        subprocess.run([*command, *names], check=True, capture_output=True, timeout=60)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        answer = http_answer(b"{}")

        def talk(server, connection):
            with context.wrap_socket(connection, server_side=True) as secured:
                while server.read(secured):
                    for piece in [answer[n : n + 1] for n in range(len(answer))] if pause else [answer]:
                        secured.sendall(piece)
                        time.sleep(pause)

        server = self.enterContext(RawServer(talk))
        return server, f"https://127.0.0.1:{server.port}/", {"REQUESTS_CA_BUNDLE": str(certificate)}

    def assert_no_trust(self, server, url):
        with self.assertRaises(NotSent) as caught:
            post(url)
        self.assertIn("certificate", str(caught.exception))
        self.assertEqual(server.requests, [])

    def test_certificate_is_verified_before_anything_leaves(self):
        server, url, trust = self.secured("IP:127.0.0.1")
        self.assert_no_trust(server, url)
        with mock.patch.dict(os.environ, trust):
            self.assertEqual(post(url).status, 200)
            self.assertEqual(post(url).status, 200)
        self.assertEqual((server.connections, len(server.requests)), (2, 2))

    def test_certificate_is_for_the_host(self):
        for name in ("DNS:gateway.example", "IP:127.0.0.2"):
            with self.subTest(name):
                server, url, trust = self.secured(name)
                with mock.patch.dict(os.environ, trust):
                    self.assert_no_trust(server, url)

    def test_no_such_bundle(self):
        server, url, _trust = self.secured("IP:127.0.0.1")
        with mock.patch.dict(os.environ, {"REQUESTS_CA_BUNDLE": "/nowhere/bundle.pem"}):
            self.assertRaises(NotSent, post, url)
        self.assertEqual(server.connections, 0)

    def test_dripping_answer(self):
        _server, url, trust = self.secured("IP:127.0.0.1", pause=0.1)
        with mock.patch.dict(os.environ, trust), self.assertRaises(OutcomeUnknown) as caught:
            post(url)
        self.assertIn("not done within 1 s", str(caught.exception))


class TestPool(unittest.TestCase):
    def test_connections_are_kept_across_threads(self):
        with saying({}) as server:
            for _turn in range(3):
                thread = threading.Thread(target=post, args=(server.url,))
                thread.start()
                thread.join()
            self.assertEqual((server.connections, len(server.requests)), (1, 3))

    def test_idle_connections_are_not_trusted(self):
        with saying({}) as server:
            post(server.url)
            with mock.patch.object(connections, "MAX_IDLE", 0.0):
                post(server.url)
            self.assertEqual((server.connections, len(server.requests)), (2, 2))

    def test_tls_and_plain_pools_share_the_rule(self):
        for pool in connections.POOLS.values():
            self.assertTrue(issubclass(pool, connections._NotingPool))
            self.assertTrue(issubclass(pool.ConnectionCls, connections._NotingConnection))

    def test_pool_is_bounded(self):
        def talk(server, connection):
            while server.read(connection):
                time.sleep(0.02)
                connection.sendall(http_answer(b"{}"))

        small = transport._Transport(pool_size=2)
        self.addCleanup(small.close)
        with (
            RawServer(talk) as server,
            mock.patch.object(transport, "_transport", small),
            ThreadPoolExecutor(8) as pool,
        ):
            answers = list(pool.map(lambda _number: post(server.url).status, range(24)))
            self.assertEqual(answers, [200] * 24)
            self.assertLessEqual(server.connections, 2)

    def test_set_pool_size(self):
        self.addCleanup(transport.set_pool_size, transport._transport.pool_size)
        transport.set_pool_size(3)
        with saying({}) as server:
            post(server.url)
        self.assertEqual(transport._transport.pool_size, 3)
        with self.assertRaises(ValueError):
            transport.set_pool_size(0)

    def test_a_child_process_does_not_use_its_parents_connections(self):
        program = (
            "import os, sys\n"
            "from providers import transport\n"
            "url = sys.argv[1]\n"
            "transport.request('GET', url)\n"
            "if (child := os.fork()) == 0:\n"
            "    os._exit(transport.request('GET', url).status // 100)\n"
            "code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
            "transport.request('GET', url)\n"
            "sys.exit(code)\n"
        )
        with saying({}) as server:
            done = subprocess.run([sys.executable, "-c", program, server.url], cwd=ROOT, timeout=60)
            self.assertEqual(done.returncode, 2)
            self.assertEqual((server.connections, len(server.requests)), (2, 3))
