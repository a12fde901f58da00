"""Stand-in for the ESP32 port's `network`: a station that takes its time, and an access point that may vanish.

The results and status codes are those of ports/esp32/network_wlan.c. While connect() is in force the station tries again
and again, `reconnects` times at the most. status() forgets the reason of a failure only when there is an address: it
shows that of an earlier attempt too, calls a station idle that was told to leave and joins again, and hides all reasons
but a few while the station may still try. While it joins it takes no other network and hears nothing in a scan.
"""

from simworld import world

STA_IF = 0
AP_IF = 1

STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_BEACON_TIMEOUT = 200
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204

_REASON_LEFT = 8
_SHOWN_AT_ONCE = (STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD, 210, 211, 212)
_ESP_ERR_WIFI_NOT_STARTED = 0x3002
_ESP_ERR_WIFI_STATE = 0x3006
_NAME = "pipit"
_SCAN_US = 100_000  # the real one takes two seconds
_LEASE = ("192.168.4.17", "255.255.255.0", "192.168.4.1", "192.168.4.1")
_NO_LEASE = ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")

_hostname = _NAME


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    _hostname = name
    return None


def country(code=None):
    return "XX" if code is None else None


class WLAN:
    """All objects of one interface share one state, as on the chip."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    def __init__(self, interface=STA_IF):
        if interface not in (STA_IF, AP_IF):
            raise ValueError("invalid WLAN interface identifier")
        self._state = _states[interface]

    def active(self, is_active=None):
        state = self._state
        if is_active is not None:
            state.is_active = bool(is_active)
            if not is_active:
                state.leave()
        return state.is_active

    def connect(self, ssid=None, key=None, *, bssid=None):
        state = self._state
        if not state.is_active:
            raise OSError(-_ESP_ERR_WIFI_NOT_STARTED, "Wifi Not Started")
        if ssid is not None and state.is_joining():
            raise OSError(-_ESP_ERR_WIFI_STATE, "Wifi Internal State Error")
        if ssid is not None:
            state.ssid = ssid
        if key is not None:
            state.key = key
        state.begin()

    def disconnect(self):
        if not self._state.is_active:
            raise OSError(-_ESP_ERR_WIFI_NOT_STARTED, "Wifi Not Started")
        self._state.leave()

    def isconnected(self):
        return self._state.follow()

    def status(self, param=None):
        if param == "rssi":
            if not self._state.is_associated():
                raise OSError("Wifi Not Connected")
            return -55
        if param is not None:
            raise ValueError("unknown status param")
        state = self._state
        if state.follow():
            return STAT_GOT_IP
        if state.reason in _SHOWN_AT_ONCE:
            return state.reason
        if state.reason == _REASON_LEFT:
            return STAT_IDLE
        if state.is_wanted and state.may_try():
            return STAT_CONNECTING
        return state.reason or STAT_IDLE

    def ifconfig(self, settings=None):
        return _LEASE if self._state.follow() else _NO_LEASE

    def scan(self):
        if not self._state.is_active:
            raise OSError("STA must be active")
        if self._state.is_joining():
            return []
        w = world.current
        w.clock.sleep_us(_SCAN_US)
        found = [[w.ssid or "pipit-sim", -55, w.password == ""]] if w.is_wifi_up else []
        return [
            (ssid.encode(), b"\x02\x00\x00\x00\x00" + bytes((i,)), 6, rssi_dbm, 0 if is_open else 3, False)
            for i, (ssid, rssi_dbm, is_open) in enumerate(found + list(w.networks))
        ]

    def config(self, *args, **kw):
        if args and kw:
            raise TypeError("either pos or kw args are allowed")
        if kw:
            self._state.settings.update(kw)
            return None
        if len(args) != 1:
            raise TypeError("can query only one param")
        if args[0] == "mac":
            return b"\x02\x50\x69\x70\x69\x74"
        if args[0] in ("ssid", "essid"):
            return self._state.ssid
        if args[0] not in self._state.settings:
            raise ValueError("unknown config param")
        return self._state.settings[args[0]]


class _Station:
    """What one interface is at; brought up to date whenever somebody asks."""

    def __init__(self):
        self.is_active = False
        self.is_wanted = False  # connect() is in force
        self.reason = 0  # of the latest failure, 0 after none and after success
        self._failures = 0  # since connect()
        self.ssid = ""
        self.key = ""
        self.settings = {"pm": WLAN.PM_PERFORMANCE, "hostname": _NAME, "txpower": 20, "channel": 6, "reconnects": -1}
        self._is_connected = False
        self._is_admitted = False
        self._tried_us = 0

    def begin(self):
        self.is_wanted = True
        self._failures = 0
        self._is_connected = False
        self._is_admitted = False
        self._tried_us = world.current.now_us()

    def may_try(self):
        return self.settings["reconnects"] < 0 or self._failures <= self.settings["reconnects"]

    def is_joining(self):
        return not self.follow() and self.is_active and self.is_wanted and self.may_try() and not self._is_admitted

    def leave(self):
        if self.is_wanted:
            self.reason = _REASON_LEFT
        self.is_wanted = False
        self._is_connected = False
        self._is_admitted = False

    def follow(self):
        """Go on to now; True when there is an address."""
        w = world.current
        w.step()
        if not (self.is_active and self.is_wanted):
            return False
        if self._is_connected:
            if w.is_wifi_up:
                return True
            self._is_connected = False
            self._fail(STAT_BEACON_TIMEOUT)
            self._tried_us = w.now_us()
            return False
        if not self.may_try() or w.now_us() - self._tried_us < 1000 * w.wifi_ms:
            return False
        self._tried_us = w.now_us()
        reason = self._refusal(w)
        if reason:
            self._fail(reason)
        self._is_admitted = not reason
        self._is_connected = not reason and w.has_dhcp
        if self._is_connected:
            self.reason = 0
            self._failures = 0
        return self._is_connected

    def _fail(self, reason):
        self.reason = reason
        self._failures += 1

    def is_associated(self):
        """In the network, with an address or without."""
        return self.follow() or (self.is_wanted and self._is_admitted)

    def _refusal(self, w):
        if not w.is_wifi_up or (w.ssid is not None and w.ssid != self.ssid):
            return STAT_NO_AP_FOUND
        if w.password is not None and w.password != self.key:
            return STAT_WRONG_PASSWORD
        return 0


_states = [_Station(), _Station()]
