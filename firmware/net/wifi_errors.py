"""What a failure of the Wi-Fi means to a person. Loaded when there is one, and let go of again."""

from .. import errors
from ..errors import LinkError

_PASSWORD = "wrong password, or the access point refuses this device: check wifi_password"
_NOT_FOUND = "network not found: check wifi_ssid, the distance, and that it is a 2.4 GHz network"
_SECURITY = "the network wants another kind of encryption: set it to WPA2 or WPA3"
_HANDSHAKE = "the password exchange was not finished: check wifi_password, then the signal"
_ASSOCIATION = "the access point did not admit this device: it may be full, or filter devices"
_SIGNAL = "the signal is too weak or was lost: move closer to the access point"

# Driver status (ESP-IDF wifi_err_reason_t): what it means to a person.
_CAUSES = {
    2: _PASSWORD,  # authentication expired
    4: _ASSOCIATION,
    5: _ASSOCIATION,  # too many stations
    15: _HANDSHAKE,  # four-way handshake: nearly always the password
    200: _SIGNAL,  # beacons lost
    201: _NOT_FOUND,
    202: _PASSWORD,
    203: _ASSOCIATION,
    204: _HANDSHAKE,
    205: _PASSWORD,
    210: _SECURITY,
    211: _SECURITY,
    212: _SIGNAL,
}

_KINDS = {_PASSWORD: errors.PASSWORD, _HANDSHAKE: errors.PASSWORD, _NOT_FOUND: errors.NETWORK}  # all others: WIFI


def verdict(ssid, status, is_associated):
    """The LinkError of an attempt that brought no address. status: the driver's failure that stands, 0 for none."""
    if status in _CAUSES:
        text = _CAUSES[status]
        return _failed(ssid, "%s (status %d)" % (text, status), status, _KINDS.get(text, errors.WIFI))
    if status:
        return _failed(ssid, "the driver gives up with status %d" % status, status)
    if is_associated:
        return _failed(ssid, "no address: the network gave none in time, check its DHCP server", kind=errors.ADDRESS)
    return _failed(ssid, "no answer in time: check the signal and wifi_ssid")


def refusal(ssid, text, error):
    """The LinkError of an OSError that the radio raised; text has a place for it."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    return _failed(ssid, text % error, number)


def _failed(ssid, text, status=0, kind=errors.WIFI):
    if not ssid:
        return LinkError("Wi-Fi is not set up: write wifi_ssid and wifi_password", errors.WIFI, status)
    return LinkError('Wi-Fi "%s": %s' % (ssid, text), kind, status)
