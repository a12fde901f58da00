"""Roots for the speaker, from TLS servers on this computer: the right ones are taken, the wrong hosts are refused."""

import contextlib
import datetime
import socket
import ssl
import threading

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from wire import to_der

from tools import ToolError
from tools.board import roots

NOW = datetime.datetime.now(datetime.timezone.utc)
YEAR = datetime.timedelta(days=365)


@contextlib.contextmanager
def server(context=None, hello=b""):
    """A TLS server for one connection after another; without a context one that says `hello` in clear."""
    listener = socket.create_server(("localhost", 0))
    listener.settimeout(5)

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                if context is None:
                    sock.sendall(hello)
                else:
                    sock = context.wrap_socket(sock, server_side=True)
                sock.recv(1)
            sock.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def served_by(ca, host="localhost", **options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host, **options).configure_cert(context)
    return context


def trusting(*cas):
    context = ssl.create_default_context(cadata=cas[0].cert_pem.bytes().decode())
    for ca in cas[1:]:
        ca.configure_trust(context)
    return context


def loaded(ca):
    return x509.load_pem_x509_certificate(ca.cert_pem.bytes())


class Maker:
    """A certificate authority with names and dates of our choice, which can cross-sign another's key."""

    def __init__(self, name, organisation="Nest", years=10, key=None):
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, name),
        ])
        self.years = years
        self.certificate = self.sign(self.name, self.key, years)

    def sign(self, name, key, years=1, host=None):
        builder = x509.CertificateBuilder(self.name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(NOW - YEAR).not_valid_after(NOW + years * YEAR)
        builder = builder.add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    @property
    def der(self):
        return self.certificate.public_bytes(Encoding.DER)


def context_of(tmp_path, maker, *middle):
    """A server for localhost whose certificate `maker` has signed, and which sends `middle` along."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    leaf = maker.sign(name, key, host="localhost")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem += b"".join(each.public_bytes(Encoding.PEM) for each in (leaf,) + middle)
    path = tmp_path / "server.pem"
    path.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_the_root_of_a_plain_chain():
    ca = trustme.CA()
    with server(served_by(ca)) as port:
        found = roots.find("localhost", port, context=trusting(ca), known=[])
    assert [(root.name, root.der) for root in found] == [("cloud-root.der", to_der(ca.cert_pem.bytes()))]
    assert found[0].path == "tls_roots/cloud-root.der" and "verifies localhost" in found[0].text


def test_below_two_intermediates_it_is_still_the_root():
    ca = trustme.CA()
    lowest = ca.create_child_ca().create_child_ca()
    with server(served_by(lowest)) as port:
        found = roots.find("localhost", port, context=trusting(ca), known=[])
    assert [root.der for root in found] == [to_der(ca.cert_pem.bytes())]


def test_a_host_that_sends_its_root_too(tmp_path):
    maker = Maker("Root")
    context = ssl.create_default_context(cadata=maker.der)
    with server(context_of(tmp_path, maker, maker.certificate)) as port:
        found = roots.find("localhost", port, context=context, known=[])
    assert [root.der for root in found] == [maker.der]


def test_an_intermediate_that_the_host_forgets_is_stored_with_the_root(tmp_path):
    top, middle = Maker("Root"), Maker("Middle")
    signed = top.sign(middle.name, middle.key, 5)
    context = ssl.create_default_context(cadata=top.der + signed.public_bytes(Encoding.DER))
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0)
    with server(context_of(tmp_path, middle)) as port:
        found = roots.find("localhost", port, context=context, known=[])
    assert [root.der for root in found] == [top.der, signed.public_bytes(Encoding.DER)]
    assert [root.name for root in found] == ["cloud-root.der", "cloud-root-2.der"]


def test_the_spare_is_a_root_that_has_cross_signed_the_chain(tmp_path):
    root, old, sister = Maker("Root"), Maker("Old", "Elsewhere", 2), Maker("Sister", years=20)
    crossed = old.sign(root.name, root.key, 2)  # root's key, certified by the older authority
    context = ssl.create_default_context(cadata=root.der)
    with server(context_of(tmp_path, root, crossed)) as port:
        known = [each.certificate for each in (root, sister, old)]
        found = roots.find("localhost", port, context=context, known=known)
    assert [(each.name, each.der) for each in found] == [("cloud-root.der", root.der), ("cloud-spare.der", old.der)]


def test_else_the_sister_that_is_valid_longest():
    root = Maker("Root")
    young, long_lived = Maker("Young", years=5), Maker("Long", years=20)
    stranger = Maker("Stranger", "Elsewhere", 30)
    over = Maker("Over", years=-0.5)
    renewed = Maker("Root", years=40, key=root.key)  # the same key again is no spare
    known = [each.certificate for each in (root, renewed, young, stranger, long_lived, over)]
    assert roots.choose_spare(root.certificate, [], known) == long_lived.certificate
    assert roots.choose_spare(root.certificate, [], [root.certificate, stranger.certificate]) is None


def test_the_spare_of_a_nameless_organisation_is_none():
    one, other = Maker("One", ""), Maker("Other", "")
    assert roots.choose_spare(one.certificate, [], [other.certificate]) is None


def test_public_roots_have_sisters_in_the_list_of_browsers():
    known = roots._browser_roots()
    assert len(known) > 100
    assert any(roots.choose_spare(root, [], known) for root in known)


def test_wrong_host():
    ca = trustme.CA()
    with server(served_by(ca, "other.test")) as port:
        with pytest.raises(ToolError, match="is for another host.*Log in with a browser"):
            roots.find("localhost", port, context=trusting(ca), known=[])


def test_expired_and_not_yet_valid():
    ca = trustme.CA()
    for start, end in ((-2, -1), (1, 2)):
        context = served_by(ca, not_before=NOW + start * YEAR, not_after=NOW + end * YEAR)
        with server(context) as port:
            with pytest.raises(ToolError, match="is not valid now.*clock of this computer"):
                roots.find("localhost", port, context=trusting(ca), known=[])


def test_somebody_in_the_middle_is_refused():
    with server(served_by(trustme.CA())) as port:
        for context in (trusting(trustme.CA()), None):  # None: this computer's real trust
            with pytest.raises(ToolError, match="cannot be verified from here.*use another network.*--root FILE"):
                roots.find("localhost", port, context=context, known=[])


def test_a_host_that_speaks_no_tls():
    with server(None, b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        with pytest.raises(ToolError, match="does not speak TLS as expected"):
            roots.find("localhost", port, known=[])


def test_nobody_there():
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ToolError, match="localhost port %d cannot be reached" % port):
        roots.find("localhost", port, known=[])


@pytest.mark.parametrize(
    "error, text", ((socket.gaierror(-2, "no"), "has no address"), (TimeoutError(), "does not answer within 15 s"))
)
def test_no_way_there(monkeypatch, error, text):
    def fail(*_):
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(ToolError, match="ws.coze.cn.* " + text):
        roots.find("ws.coze.cn", 443, known=[])


def test_a_cloud_with_an_authority_of_its_own(tmp_path):
    ca = trustme.CA()
    der, pem = tmp_path / "root.der", tmp_path / "root.pem"
    der.write_bytes(to_der(ca.cert_pem.bytes()))
    pem.write_bytes(ca.cert_pem.bytes())
    with server(served_by(ca.create_child_ca())) as port:
        for path in (der, pem):
            found = roots.find("localhost", port, own_root=str(path))
            assert [root.der for root in found] == [der.read_bytes()]
    with server(served_by(trustme.CA())) as port:
        with pytest.raises(ToolError, match="cannot be verified"):
            roots.find("localhost", port, own_root=str(der))


def test_files_that_are_no_certificates(tmp_path):
    pem = b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"
    for name, data in (("a.pem", pem), ("a.der", b"\x30\x01")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ToolError, match="holds no certificate"):
            roots.read_certificates(str(tmp_path / name))
    with pytest.raises(ToolError, match="cannot be read"):
        roots.read_certificates(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "url, found",
    (
        ("wss://ws.coze.cn/v1/chat", ("ws.coze.cn", 443)),
        ("wss://localhost:8443", ("localhost", 8443)),
        ("wss://[::1]:8443/x", ("::1", 8443)),
        ("wss://[::1]/x", ("::1", 443)),
        ("ws://localhost/v1", None),
    ),
)
def test_host_of_an_address(url, found):
    assert roots.host_of(url) == found


@pytest.mark.parametrize("host", ("a..b", "..", "x" * 70 + ".example"))
def test_a_name_that_no_host_can_have_is_told(host):
    with pytest.raises(ToolError, match="has no address: is the name right"):
        roots.find(host, 443)
