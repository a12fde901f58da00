"""How led.py shows each errors.KINDS word. Loaded for each error."""

from .. import errors

_MAGENTA = (56, 0, 30)
_RED = (64, 0, 0)
_ORANGE = (60, 18, 0)
_WHITE = (30, 30, 30)

# error kind: (colour, flashes)
ERRORS = {
    errors.CONFIG: (_MAGENTA, 1),
    errors.TOKEN: (_MAGENTA, 2),
    errors.REFUSED: (_MAGENTA, 3),
    errors.PASSWORD: (_MAGENTA, 4),
    errors.AGENT: (_MAGENTA, 5),
    errors.WIFI: (_RED, 1),
    errors.CLOCK: (_RED, 2),
    errors.DNS: (_RED, 3),
    errors.SLOW: (_RED, 4),
    errors.NETWORK: (_RED, 5),
    errors.ADDRESS: (_RED, 6),
    errors.CONNECT: (_ORANGE, 1),
    errors.TLS: (_ORANGE, 2),
    errors.TIMEOUT: (_ORANGE, 3),
    errors.PROTOCOL: (_ORANGE, 4),
    errors.BUSY: (_ORANGE, 5),
    errors.TURN: (_WHITE, 1),
    errors.AUDIO: (_WHITE, 2),
}
