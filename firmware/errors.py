"""The exception tree. The type says whose fault it is, `kind` what to do next, the text both in words.

    PipitError
    ├── ConfigError   a person wrote a wrong setting: name the key, stop
    ├── LinkError     Wi-Fi, DNS, TCP, TLS, clock, a time-out: try again later
    ├── PeerError     the cloud broke the WebSocket or its own protocol: close, connect anew
    ├── CloudError    the cloud said no, with a code: `kind` decides
    └── AudioError    a microphone or loudspeaker bus failed: re-initialise it, say so

A misuse by our own code is ValueError or AssertionError and is never caught.
"""

# What went wrong, as one word: the key of the LED pattern, of the alert sound and of the retry policy.
CONFIG = "config"  # the settings are wrong: a person must change them
WIFI = "wifi"  # the radio or the access point, in any way that has no word of its own below
PASSWORD = "password"  # the Wi-Fi refuses the password: a person must correct it
NETWORK = "network"  # no Wi-Fi of that name is heard
ADDRESS = "address"  # in the Wi-Fi, but it gives no address
CLOCK = "clock"  # no network time, so no certificate can be checked
DNS = "dns"  # the host name has no address
CONNECT = "connect"  # refused, unreachable, reset, closed
TLS = "tls"  # certificate, host name or handshake refused
TIMEOUT = "timeout"  # somebody did not answer in time
SLOW = "slow"  # the uplink cannot carry speech in real time
PROTOCOL = "protocol"  # the peer sent what its protocol forbids
TOKEN = "token"  # the token is invalid or expired: renew it
BUSY = "busy"  # the cloud is overloaded or rate-limits: back off
REFUSED = "refused"  # the cloud will go on refusing until a person acts (quota, permission)
AGENT = "agent"  # the agent is not published to the channel that speakers use
TURN = "turn"  # this one question has no answer; the next may have
AUDIO = "audio"  # a bus or its driver

KINDS = (
    CONFIG, WIFI, CLOCK, DNS, CONNECT, TLS, TIMEOUT, SLOW, PROTOCOL, TOKEN, BUSY, REFUSED, TURN, AUDIO,
    PASSWORD, NETWORK, ADDRESS, AGENT,
)  # fmt: skip


# How the program ends, for whoever started it.
EXIT_OK = 0
EXIT_BROKEN = 1  # a part failed
EXIT_SETTINGS = 2  # the settings are wrong
EXIT_RESTART = 5  # main.py is to reset the board


class PipitError(Exception):
    """text: the cause and the cure, for a person; kind: one of KINDS. Never holds a secret."""

    kind = PROTOCOL

    def __init__(self, text, kind=None):
        super().__init__(text)
        self.text = text
        if kind is not None:
            self.kind = kind


class ConfigError(PipitError):
    """key: the setting at fault, "" when it is the file itself."""

    kind = CONFIG

    def __init__(self, key, text):
        super().__init__("%s: %s" % (key, text) if key else text)
        self.key = key


class LinkError(PipitError):
    """errno: the operating system's number, 0 when there is none."""

    kind = CONNECT

    def __init__(self, text, kind=None, errno=0):
        super().__init__(text, kind)
        self.errno = errno


class PeerError(PipitError):
    """close_code: what RFC 6455 7.4.1 wants in our close frame (1002 protocol, 1007 bad data, 1009 too big)."""

    kind = PROTOCOL

    def __init__(self, text, close_code=1002):
        super().__init__(text)
        self.close_code = close_code


class CloudError(PipitError):
    """code: the cloud's number; log_id: its id for support, "" when it sent none."""

    kind = TURN

    def __init__(self, text, kind=None, code=0, log_id=""):
        super().__init__(text, kind)
        self.code = code
        self.log_id = log_id


class AudioError(PipitError):
    kind = AUDIO


def exit_code_of(error):
    """The exit code of a program that this PipitError ended before it began."""
    return EXIT_SETTINGS if isinstance(error, ConfigError) else EXIT_BROKEN
