"""The wall clock: a certificate can be checked only by who knows the date, and a board starts without it."""

from .. import errors
from ..compat import const, ticks_diff
from ..errors import LinkError

RELEASED_UNIX_S = 1_767_225_600  # 2026-01-01: before this firmware was made, so no clock that is right shows less
_LATEST_UNIX_S = 3_976_214_400  # 2096-01-01: a root that outlives this does not exist
_PAUSE_MS = const(500)  # between two tries


def is_plausible(unix_s):
    return RELEASED_UNIX_S <= unix_s < _LATEST_UNIX_S


async def ensure(ports, ntp_settime, timeout_ms, host="the time server", until_quiet=None):
    """Return with a clock that is plausible; without a question when it is so already.

    ntp_settime()   sets the machine's clock; may block the loop for ntptime.timeout (1 s) and the look-up of the
                    name, so call this only while nobody would hear that
    host            for the error text
    raises          LinkError(kind=CLOCK): the time server cannot be reached or is wrong
    """
    if is_plausible(ports.unix_s()):
        return
    began_ms = ports.ticks_ms()
    tries = 0
    while True:
        tries += 1
        if until_quiet is not None:
            await until_quiet()
        try:
            ntp_settime()
            if is_plausible(ports.unix_s()):
                return
            cause = "its answer is no date of today"
        except Exception as error:  # whatever a stranger's packet or a resolver may raise
            cause = str(error) or type(error).__name__
        if ticks_diff(ports.ticks_ms(), began_ms) + _PAUSE_MS >= timeout_ms:
            break
        await ports.sleep_ms(_PAUSE_MS)
    raise LinkError(
        "no time from %s (%s, %d tries): check that the network lets UDP port 123 out, or set ntp_host to a time "
        "server inside it" % (host, cause, tries),
        errors.CLOCK,
    )
