"""The root certificates that a speaker needs to verify its cloud: found from this computer, which can verify it.

A speaker has room for two roots, not for the 150 of a browser. Which ones:

    the root    the certificate at the end of the chain by which this computer's own trust store verified the host. Were
                certificates in the middle not sent by the host but known here, they are stored too.
    the spare   for the day on which the host changes its chain: another root that has signed a certificate of the
                chain which the host sends (a cross-signature) if there is one; else, among the roots of the same
                organisation that browsers trust (the list of certifi), the one that is valid longest.

A host that cannot be verified here is refused: a hotel's login page, an inspecting proxy or a thief in the middle would
otherwise be what the speaker trusts for years.
"""

import contextlib
import datetime
import os
import socket
import ssl
import warnings

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tools import ToolError

TIMEOUT_S = 15
FOLDER = "tls_roots"
ROOT_NAME, SPARE_NAME = "cloud-root%s.der", "cloud-spare.der"
_MIDDLES_MAX = 2  # certificates between the host's and the root that the host may leave out
NAMES = (ROOT_NAME % "", ROOT_NAME % "-2", ROOT_NAME % "-3", SPARE_NAME)  # all that find() may give
_DEFAULT_PORT = 443
_PEM_END = b"-----END CERTIFICATE-----"
# OpenSSL: X509_V_ERR_...
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64


class Root:
    """One certificate to store: file name below tls_roots, DER bytes, and a line that says what it is."""

    def __init__(self, name, certificate, why):
        self.name = name
        self.path = "%s/%s" % (FOLDER, name)
        self.der = certificate.public_bytes(Encoding.DER)
        self.text = "%s, valid until %s: %s" % (_title(certificate), certificate.not_valid_after_utc.date(), why)


def host_of(url):
    """(host, port) of a wss:// URL that the validator has passed, or None for ws://, which has no certificate."""
    scheme, _, rest = url.partition("://")
    if scheme != "wss":
        return None
    authority = rest.partition("/")[0]
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        return host, int(port[1:] or _DEFAULT_PORT)
    host, _, port = authority.partition(":")
    return host, int(port or _DEFAULT_PORT)


def find(host, port, own_root=None, context=None, known=None):
    """[Root] to store for this host, the one that verifies it first. ToolError with cause and cure when there is none.

    own_root: path of a PEM or DER file, for a cloud with an authority of its own, instead of this computer's store.
    context, known: a verifying ssl.SSLContext and the certificates to choose a spare from, for tests.
    """
    if own_root:
        anchors = read_certificates(own_root)
        context = ssl.create_default_context(cadata=b"".join(each.public_bytes(Encoding.DER) for each in anchors))
        known = anchors
    verified, sent = _chains(host, port, context or default_context())
    _check_links(verified)
    needed = [each for each in verified[1:] if each not in sent] or [verified[-1]]
    needed.reverse()  # the root before what stands below it
    if len(needed) > 1 + _MIDDLES_MAX:
        text = "%s leaves out %d certificates of its chain: its server is set up wrong"
        raise ToolError(text % (host, len(needed) - 1))
    found = [
        Root(ROOT_NAME % ("" if i == 0 else "-%d" % (i + 1)), each, "verifies %s" % host)
        for i, each in enumerate(needed)
    ]
    spare = choose_spare(needed[0], sent, _browser_roots() if known is None else known)
    if spare is not None:
        found.append(Root(SPARE_NAME, spare, "the spare"))
    return found


def default_context():
    """This computer's own trust; a Python that came without any (python.org's on macOS) takes certifi's."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not context.get_ca_certs() and not paths.cafile and not (paths.capath and os.listdir(paths.capath)):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def read_certificates(path):
    """[x509.Certificate] of a PEM or DER file."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ToolError("%s cannot be read: %s" % (path, error.strerror or error)) from None
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except ValueError:
        raise ToolError("%s holds no certificate: give a .pem, .crt or .der file" % path) from None


# -- the connection


def _chains(host, port, context):
    """(verified chain from the host's own certificate to the root, what the host sent), both x509.Certificate lists."""
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as sock:
            with context.wrap_socket(sock, server_hostname=host) as tls:
                # Public since Python 3.13; 3.10 to 3.12, which will not change any more, have it one object further in.
                inner = tls if hasattr(tls, "get_verified_chain") else tls._sslobj
                return _loaded(inner.get_verified_chain()), _loaded(inner.get_unverified_chain())
    except ssl.SSLCertVerificationError as error:
        raise ToolError(_unverified_text(host, error)) from None
    except ssl.SSLError as error:
        raise ToolError(
            "%s port %d does not speak TLS as expected (%s): is the address right, is a proxy in between?"
            % (host, port, error.reason or error)
        ) from None
    except (socket.gaierror, UnicodeError):  # UnicodeError: "a..b" and the like
        raise ToolError("%s has no address: is the name right, is this computer online?" % host) from None
    except (TimeoutError, socket.timeout):
        text = "%s port %d does not answer within %d s: is a firewall in between?"
        raise ToolError(text % (host, port, TIMEOUT_S)) from None
    except OSError as error:
        raise ToolError("%s port %d cannot be reached: %s" % (host, port, error.strerror or error)) from None


def _loaded(chain):
    """Of DER bytes (3.13), or of objects that give PEM text."""
    return [
        x509.load_der_x509_certificate(each)
        if isinstance(each, bytes)
        else x509.load_pem_x509_certificate(each.public_bytes().encode())
        for each in chain
    ]


def _unverified_text(host, error):
    what = (error.verify_message or str(error)).rstrip(".")
    if error.verify_code in (_WRONG_HOST, _WRONG_ADDRESS):
        return (
            "the certificate shown for %s is for another host (%s): is a login page of this network (hotel, office)"
            " answering in its place? Log in with a browser first, or use another network" % (host, what)
        )
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        return (
            "the certificate of %s is not valid now (%s): is the clock of this computer right? Else its owner must"
            " renew it" % (host, what)
        )
    return (
        "%s cannot be verified from here (%s), so nothing was stored. A login page or an inspecting proxy of this"
        " network may stand in between: use another network. For a cloud with an authority of its own give its root"
        " with --root FILE" % (host, what)
    )


def _check_links(chain):
    """OpenSSL has done this; what a speaker will trust for years is worth the second look."""
    for lower, upper in zip(chain, chain[1:]):
        if not _has_signed(upper, lower):
            raise ToolError("the certificate chain does not hold together at %s: nothing was stored" % _title(upper))
    if not chain:
        raise ToolError("the host was verified without a certificate: nothing was stored")


# -- the spare


def choose_spare(root, sent, known):
    """The spare by the rule at the top of this file, or None. sent: the host's chain; known: trusted roots."""
    now = datetime.datetime.now(datetime.timezone.utc)
    others = [
        each
        for each in known
        if _key(each) != _key(root) and each.not_valid_before_utc <= now < each.not_valid_after_utc
    ]
    crossed = [each for each in others if any(_has_signed(each, lower) for lower in sent)]
    maker = _organisation(root)
    sisters = [each for each in others if maker and _organisation(each) == maker]
    candidates = crossed or sisters
    return max(candidates, key=lambda each: each.not_valid_after_utc, default=None)


def _browser_roots():
    """certifi's list; a root that this computer's libraries cannot read is no use as a spare."""
    import certifi

    found = []
    with open(certifi.where(), "rb") as file:
        pems = file.read().split(_PEM_END)[:-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some old roots have serial numbers that the standard forbids
        for pem in pems:
            with contextlib.suppress(ValueError):
                found.append(x509.load_pem_x509_certificate(pem + _PEM_END))
    return found


def _has_signed(upper, lower):
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _key(certificate):
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _organisation(certificate):
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    return names[0].value if names else ""


def _title(certificate):
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return names[0].value if names else _organisation(certificate) or "a certificate without a name"
