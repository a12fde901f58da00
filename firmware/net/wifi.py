"""Brings the Wi-Fi station up by asking its status, and says why when it does not come.

What status() of the ESP32 port shows (ports/esp32/network_wlan.c) decides how it is asked here:

- It keeps the reason of the last failure while the driver tries again, and even into the next connect(). So a reason
  is believed only when it has stood for _VERDICT_MS of this attempt, or when the time is over.
- Once the station was told to leave, it is "idle" until the next failure or success, also while it joins again. So
  whether there is something to end is not asked of it.
- Reasons other than "not found" and "wrong password" hide behind "connecting" while the driver may retry for ever. So
  the number of its retries is limited, and the retrying is left to the connection's own policy.
"""

from unload import unload

from .. import errors, trace as tr
from ..compat import const, ticks_diff
from ..errors import LinkError

_POLL_MS = const(50)
_VERDICT_MS = const(6000)
_SETTLE_MS = const(100)  # a disconnect is reported a little later
_DRIVER_RETRIES = const(2)

_IDLE = const(1000)
_CONNECTING = const(1001)
_GOT_IP = const(1010)


class Wifi:
    """wlan: network.WLAN(STA_IF); ports; trace."""

    def __init__(self, wlan, ports, trace):
        self._wlan = wlan
        self._ports = ports
        self._trace = trace
        self._ssid = None  # of the network that we brought up
        self._is_joining = False  # or in a network: connect() is in force
        self._user = 0  # counts who has had the radio: up() and leave() take it from the one before

    @property
    def is_up(self):
        return self._wlan.isconnected()

    async def up(self, ssid, password, timeout_ms):
        """Return with an address in the network `ssid`; at once when there is one already.

        LinkError of kind PASSWORD, NETWORK, ADDRESS or WIFI names the cause, its errno is the driver's status.
        Cancelled or failed, the station is left disconnected, so that nothing goes on behind the caller's back, unless
        a newer up() has it by then.
        """
        if self.is_up and self._ssid == ssid:
            return
        self._ssid = None
        self._user += 1
        me = self._user
        start_ms = self._ports.ticks_ms()
        is_done = False
        try:
            await self._begin(ssid, password)
            await self._wait(ssid, timeout_ms)
            is_done = True
        finally:
            if not is_done and me == self._user:  # one that was cancelled ends after the next one has begun
                self._disconnect()
        self._ssid = ssid
        self._trace.add(tr.WIFI_UP, ticks_diff(self._ports.ticks_ms(), start_ms))

    def leave(self):
        """Out of the network, if in one."""
        self._user += 1
        self._ssid = None
        self._disconnect()

    def scan(self):
        """[(ssid, rssi_dbm, is_open)] of the networks in the air, the strongest first, each name once; hidden ones and
        names that are no UTF-8 are left out. BLOCKS the loop for some seconds. LinkError when the radio refuses; the
        port says so by an empty list while it joins a network.
        """
        try:
            self._wlan.active(True)
            found = self._wlan.scan()
        except OSError as error:
            raise LinkError("no scan now (%s): try again" % error, errors.WIFI)
        if not found and self._is_joining and not self.is_up:
            raise LinkError("no scan now: the radio is connecting, try again", errors.WIFI)
        best = {}
        for entry in found:
            try:
                name = bytes(entry[0]).decode()
            except UnicodeError:
                continue
            if name and "\0" not in name and (name not in best or entry[3] > best[name][1]):
                best[name] = (name, entry[3], entry[4] == 0)
        return sorted(best.values(), key=lambda network: -network[1])

    def details(self):
        """(ssid, address, rssi_dbm) of the network that is up; ("", "", 0) when none is."""
        if not self.is_up:
            return "", "", 0
        try:
            rssi_dbm = self._wlan.status("rssi")
        except (OSError, ValueError, TypeError):
            rssi_dbm = 0
        return self._ssid or "", self._wlan.ifconfig()[0], rssi_dbm

    async def _begin(self, ssid, password):
        try:
            self._wlan.active(True)
        except OSError as error:
            raise _from_errors("refusal", ssid, "the radio does not start (%s): restart the board", error)
        self._set(pm=getattr(self._wlan, "PM_NONE", 0))  # power saving adds up to 300 ms to each packet
        self._set(reconnects=_DRIVER_RETRIES)
        if self._disconnect():
            await self._ports.sleep_ms(_SETTLE_MS)
        self._is_joining = True
        try:
            self._connect(ssid, password)
        except OSError:
            # The driver can be stuck in a state of its own; a restart of the radio helps it.
            try:
                self._wlan.active(False)
                self._wlan.active(True)
                self._connect(ssid, password)
            except OSError as error:
                raise _from_errors("refusal", ssid, "the radio takes no order (%s)", error)

    def _connect(self, ssid, password):
        if password:
            self._wlan.connect(ssid, password)
        else:
            self._wlan.connect(ssid)

    def _set(self, **setting):
        """A comfort that not every port or version knows."""
        try:
            self._wlan.config(**setting)
        except (OSError, TypeError, ValueError):
            pass

    def _disconnect(self):
        """False when the radio is off."""
        self._is_joining = False
        try:
            self._wlan.disconnect()
        except OSError:
            return False
        return True

    async def _wait(self, ssid, timeout_ms):
        ticks_ms = self._ports.ticks_ms
        start_ms = ticks_ms()
        cause = 0  # the failure that stands, and since when
        cause_ms = start_ms
        while not self._wlan.isconnected():
            now_ms = ticks_ms()
            status = self._wlan.status()
            if status in (_IDLE, _CONNECTING, _GOT_IP):
                status = 0
            if status != cause:
                cause = status
                cause_ms = now_ms
            is_certain = cause and ticks_diff(now_ms, cause_ms) >= _VERDICT_MS
            if is_certain or ticks_diff(now_ms, start_ms) >= timeout_ms:
                raise self._verdict(ssid, cause)
            await self._ports.sleep_ms(_POLL_MS)

    def _verdict(self, ssid, status):
        return _from_errors("verdict", ssid, status, status == 0 and self._is_associated())

    def _is_associated(self):
        try:
            return self._wlan.status("rssi") != 0
        except (OSError, ValueError, TypeError):
            return False


def _from_errors(name, *args):
    """The LinkError that wifi_errors.NAME makes; its texts are seldom needed."""
    try:
        from . import wifi_errors

        return getattr(wifi_errors, name)(*args)
    finally:
        unload(__name__.rpartition(".")[0], ("wifi_errors",))
