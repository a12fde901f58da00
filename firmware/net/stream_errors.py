"""What a failure of a socket or of TLS means to a person. Loaded when there is one, and let go of again."""

import errno

from .. import compat, errors
from ..errors import LinkError

_NO_ROOT = "no root certificate in tls_roots signed the certificate of %s: add its root as DER, or check cloud_url"

_TLS_TEXTS = {
    compat.TLS_UNTRUSTED: _NO_ROOT,
    compat.TLS_NO_ROOTS: _NO_ROOT,
    compat.TLS_WRONG_HOST: "the certificate is not made out to %s: check cloud_url; somebody may be in between",
    compat.TLS_EXPIRED: "the certificate of %s has expired: its owner must renew it, or this device's clock is wrong",
    compat.TLS_TOO_EARLY: "the certificate of %s is not valid yet: this device's clock is behind, check ntp_host",
    compat.TLS_NOT_TLS: "%s does not speak TLS on this port: check port and scheme (wss or ws) of cloud_url",
    compat.TLS_ALERT: "%s ended the TLS handshake with an alert: it wants another TLS version, cipher or host name",
    compat.TLS_OTHER: "TLS failed with %s: try again; if it stays, report the detail",
}

_ERRNO_TEXTS = {
    "ECONNREFUSED": "%s refuses connections on this port: check cloud_url, or the service is down",
    "ECONNRESET": "%s cut the connection: try again",
    "ECONNABORTED": "the connection to %s was given up by this device's network: check the Wi-Fi signal",
    "EPIPE": "%s closed the connection: try again",
    "ENOTCONN": "there is no connection to %s any more: try again",
    "EHOSTUNREACH": "no way to %s: check the router's way to the internet",
    "ENETUNREACH": "no way to %s: this device has no network, or the router no internet",
    "ETIMEDOUT": "%s does not answer: check the router's way to the internet",
    "ENOMEM": "not enough memory for a connection to %s: close others, or shorten the buffers",
    "ENOBUFS": "not enough memory for a connection to %s: close others, or shorten the buffers",
    "ENFILE": "too many open connections to open one to %s",
    "EADDRNOTAVAIL": "%s has an address that cannot be reached from here: check cloud_url",
}
# Where the errno module lacks the name: the first two are the same on an ESP32, whose lwIP knows no others of these.
_ERRNOS = {"EPIPE": 32, "ENFILE": 23, "ENETUNREACH": 101, "EADDRNOTAVAIL": 99}


def link_error(error, host):
    """The LinkError (CONNECT, TIMEOUT or TLS) of an OSError or ValueError that the connection to `host` raised."""
    fault, detail = compat.tls_fault(error)
    if fault:
        number = error.errno if isinstance(error, OSError) else 0
        text = _TLS_TEXTS[fault] % host
        return LinkError("%s (%s)" % (text, detail) if detail else text, errors.TLS, number or 0)
    number = abs(getattr(error, "errno", 0) or 0)  # MicroPython's TLS passes the socket's numbers on, negated
    for name in _ERRNO_TEXTS:
        if number and number == getattr(errno, name, _ERRNOS.get(name, 0)):
            kind = errors.TIMEOUT if name == "ETIMEDOUT" else errors.CONNECT
            return LinkError(_ERRNO_TEXTS[name] % host, kind, number)
    return LinkError("the connection to %s failed: %s" % (host, error), errors.CONNECT, number)
