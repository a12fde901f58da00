"""The judge of the settings: one by one by the table, then those that must suit each other."""

import json

from json_strict import JSONError, loads

from . import config_table as table
from .compat import const
from .config import Config
from .errors import ConfigError

_SHOWN_CHARS = const(60)  # of a wrong value
_TOKEN_MARKS = ("pat_", "czs_", "czu_", "Bearer")
_RING_MAX_BYTES = const(4_194_304)
_ENVELOPE_BYTES = const(1024)  # JSON around one piece of an answer: 0.3 to 0.6 kB, with room
_DEVICE_ID_MAX = 9_223_372_036_854_775_807  # the cloud reads it as an int64
_DOWNLINK_RATES_HZ = (8000, 16_000, 24_000)
_G711_HZ = const(8000)
_LOOK_UP_MS = const(30_000)  # name servers that do not answer are asked again and again, and the port waits
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~，。！？、；：“”‘’（）《》…—·"


def judge(text):
    """The config.Config of a JSON text (str or bytes); ConfigError names the setting and what is allowed."""
    return _config_of(_object_of(text))


def rows():
    """[(key, kind, default, what is allowed, help)]"""
    return [
        (key, kind, default, _allowed(key, kind, limits), help_text)
        for key, kind, default, limits, help_text in table.ROWS
    ]


# The file


def _object_of(text):
    try:
        found = loads(text.encode() if isinstance(text, str) else text)
    except UnicodeError:
        raise ConfigError("", "not UTF-8: save the file as UTF-8")
    except JSONError as error:
        raise ConfigError("", "not JSON: %s" % error)
    if not isinstance(found, dict):
        raise ConfigError("", 'the settings are one JSON object: {"bot_id": "...", ...}')
    return found


def _config_of(found):
    warnings = []
    values = {}
    for key, kind, default, limits, _ in table.ROWS:
        if key in found:
            value = _tidied(key, found[key], warnings)
            _check(key, kind, value, limits)
        else:
            value = _copy_of(default)
        values[key] = value
    unknown = [name for name in found if name not in values]
    for name in unknown:
        near = nearest(name, values)
        warnings.append("%s: no such setting, ignored%s" % (_show(name), "; did you mean %s?" % near if near else ""))
    _check_required(values, unknown)
    _check_url(values, warnings)
    _check_downlink(values, "downlink_hz" in found, warnings)
    secrets = tuple([row[0] for row in table.ROWS if row[1] == table.SECRET])
    config = Config(values, secrets, unknown, warnings)
    _check_pacing(config)
    _check_ring(config)
    _check_times(config)
    _warn(config)
    return config


def _tidied(key, value, warnings):
    """What people paste with a token is taken off it, aloud."""
    if key == "token" and isinstance(value, str):
        bare = value.strip()
        if bare[:7].lower() == "bearer ":
            bare = bare[7:].strip()
            warnings.append("token: the word Bearer in front of it is not part of it and was left out")
        return bare
    return value


def _copy_of(default):
    if isinstance(default, dict):
        return dict(default)
    return list(default) if isinstance(default, list) else default


# One setting


def _check(key, kind, value, limits):
    if _is_allowed(key, kind, value, limits):
        return
    shown = _show_secret(value) if kind == table.SECRET else _show(value)
    raise ConfigError(key, "%s is not allowed: write %s" % (shown, _allowed(key, kind, limits)))


def _is_allowed(key, kind, value, limits):
    # `type() is`, because True is an int on CPython and not on MicroPython.
    if kind == table.BOOL:
        return type(value) is bool
    if kind == table.INT:
        return type(value) is int and (limits[0] <= value <= limits[1] or value in limits[2:])
    if kind == table.CHOICE:
        return type(value) is str and value in limits
    if kind == table.OBJECT:
        return type(value) is dict
    if kind == table.MAP:
        return type(value) is dict and len(value) <= limits[0] and _is_map(value, limits)
    if kind == table.TEXTS:
        return type(value) is list and len(value) <= limits[0] and _is_texts(value, limits)
    if key == "wifi_password" and value == "":
        return True
    return _is_text(value, limits[0], limits[1], limits[2])


def _is_map(value, limits):
    for name in value:
        if not _is_text(name, 1, 64, limits[2]) or not _is_text(value[name], 0, limits[1], ""):
            return False
    return True


def _is_texts(value, limits):
    for item in value:
        if not _is_text(item, limits[1], limits[2], limits[3]):
            return False
    return True


def _is_text(value, least, most, form):
    if type(value) is not str or not least <= len(value.encode()) <= most:
        return False
    for char in value:
        if ord(char) < 0x20 or ord(char) == 0x7F:  # would break an HTTP header or a log line
            return False
        if form and not _FORM_TESTS[form](char):
            return False
    return True


_FORM_TESTS = {
    "digits": lambda char: "0" <= char <= "9",
    "ascii": lambda char: "!" <= char <= "~",
    "name": lambda char: "a" <= char <= "z" or "0" <= char <= "9" or char == "_",
    "letters": lambda char: "a" <= char <= "z" or "A" <= char <= "Z" or char == "_",
    "word": lambda char: char not in _PUNCTUATION,
}


def _allowed(key, kind, limits):
    """The rule in words."""
    if kind == table.BOOL:
        return "true or false"
    if kind == table.INT:
        words = "a whole number from %d to %d" % (limits[0], limits[1])
        if key == "downlink_hz":
            words = "8000, 16000 or 24000"
        return "%d, or %s" % (limits[2], words) if len(limits) > 2 else words
    if kind == table.CHOICE:
        return " or ".join(['"%s"' % word for word in limits])
    if kind == table.OBJECT:
        return "a JSON object"
    if kind == table.MAP:
        return "an object of at most %d texts of up to %d bytes, names: %s" % (
            limits[0], limits[1], table.FORMS[limits[2]],
        )  # fmt: skip
    if kind == table.TEXTS:
        words = "a list of at most %d texts of %d to %d bytes" % limits[:3]
    else:
        words = "text of %d to %d bytes" % limits[:2] if limits[0] else "text of up to %d bytes" % limits[1]
    if key == "wifi_password":
        words = 'text of 8 to 64 bytes, or "" for an open network'
    return words + ", " + table.FORMS[limits[-1]] if limits[-1] else words


def _show(value):
    """A value for an error text. A token is recognised wherever somebody pasted it by mistake, and not shown."""
    if looks_like_token(value):
        return "what looks like a token"
    shown = json.dumps(value)
    return shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + "..."


def looks_like_token(value):
    """True of any value of a JSON file in which a token may stand."""
    text = json.dumps(value)
    for mark in _TOKEN_MARKS:
        if mark in text:
            return True
    return False


def _show_secret(value):
    return "the text of %d characters" % len(value) if isinstance(value, str) else "what stands there"


def nearest(name, names):
    """The one of names that is fewest typing errors away, "" when that is more than a third of its length."""
    plain = name.lower().replace("-", "_").replace(" ", "_")
    best = ""
    best_cost = 1 << 20
    for candidate in names:
        cost = _distance(plain, candidate) if abs(len(plain) - len(candidate)) <= 4 else best_cost
        if cost < best_cost and 3 * cost <= len(candidate):
            best = candidate
            best_cost = cost
    return best


def _distance(a, b):
    """Letters to insert, drop or replace to make b of a."""
    row = list(range(len(b) + 1))
    for i, char in enumerate(a):
        corner = row[0]
        row[0] = i + 1
        for j, other in enumerate(b):
            above = row[j + 1]
            row[j + 1] = corner if char == other else 1 + min(corner, above, row[j])
            corner = above
    return row[-1]


# Several settings together


def _check_required(values, unknown):
    for key in table.REQUIRED[values["cloud"]]:
        if values[key]:
            continue
        text = "is missing (%s)" % [row[4] for row in table.ROWS if row[0] == key][0]
        for name in unknown:
            if nearest(name, (key,)):
                text += "; the file has %s, which is no setting" % _show(name)
        raise ConfigError(key, text)
    if values["device_id"] and int(values["device_id"]) > _DEVICE_ID_MAX:
        raise ConfigError("device_id", "%s is not allowed: at most %d" % (values["device_id"], _DEVICE_ID_MAX))


def _check_url(values, warnings):
    url = values["cloud_url"]
    scheme, mark, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    host, port = _split_authority(authority)
    if "@" in authority:
        raise ConfigError("cloud_url", "leave user and password out of the address: write wss://HOST/PATH")
    if not mark or scheme not in ("ws", "wss") or not host or "#" in rest or "?" in authority:
        raise ConfigError("cloud_url", "%s is not allowed: write wss://HOST/PATH" % _show(url.partition("?")[0]))
    if port and not (port.isdigit() and 0 < int(port) < 65_536):
        raise ConfigError("cloud_url", "%s is no port: write a number from 1 to 65535" % _show(port))
    query = "&" + path.partition("?")[2]
    if "&authorization=" in query.lower():
        raise ConfigError("cloud_url", "leave authorization out of the address: it belongs into token")
    if "&bot_id=" in query:
        raise ConfigError("cloud_url", "leave bot_id out of the address: it is a setting of its own")
    if scheme == "ws" and not _is_loopback(host):
        if not values["allow_plain_ws"]:
            raise ConfigError(
                "cloud_url",
                "ws:// to %s would send token and voice in clear: write wss://, or set allow_plain_ws to true" % host,
            )
        warnings.append("allow_plain_ws: token and voice go to %s in clear" % host)
    if scheme == "wss" and not values["tls_verify"]:
        warnings.append("tls_verify: is off, anybody on the way to %s can listen and speak" % host)


def _split_authority(authority):
    """host, port of "host", "host:port" or "[v6]:port"; the port is "" when there is none, "?" when it is unclear."""
    if authority[:1] == "[":
        host, mark, rest = authority[1:].partition("]")
        if not rest:
            return host if mark else "", ""
        return host, rest[1:] if rest[0] == ":" and len(rest) > 1 else "?"
    host, mark, port = authority.partition(":")
    return host, port if port or not mark else "?"


def _is_loopback(host):
    parts = host.split(".")
    is_v4 = len(parts) == 4 and parts[0] == "127" and all([part.isdigit() for part in parts])
    return is_v4 or host.lower() == "localhost" or host == "::1"


def _check_downlink(values, is_written, warnings):
    hz = values["downlink_hz"]
    if hz not in _DOWNLINK_RATES_HZ:
        raise ConfigError("downlink_hz", "%d is not allowed: write 8000, 16000 or 24000" % hz)
    if values["downlink_codec"] != "pcm" and hz != _G711_HZ:
        values["downlink_hz"] = _G711_HZ
        if is_written:
            warnings.append("downlink_hz: %s is always 8000, %d has no effect" % (values["downlink_codec"], hz))


def _check_pacing(config):
    window_ms = config.pacing_frames * config.pacing_frame_ms
    period_ms = 1000 * config.pacing_period_s
    if config.pacing_frames and window_ms < period_ms:
        least = (period_ms + config.pacing_frame_ms - 1) // config.pacing_frame_ms
        raise ConfigError(
            "pacing_frames",
            "%d frames of %d ms are %d ms of sound per %d ms, the answer would stutter: write at least %d, or 0"
            % (config.pacing_frames, config.pacing_frame_ms, window_ms, period_ms, least),
        )
    if config.stall_ms < 2 * period_ms:
        raise ConfigError(
            "stall_ms",
            "%d is not allowed: write at least two pacing periods, %d" % (config.stall_ms, 2 * period_ms),
        )
    piece_bytes = config.downlink_bytes_per_s // 1000 * config.pacing_frame_ms
    message_bytes = (piece_bytes + 2) // 3 * 4 + _ENVELOPE_BYTES
    if message_bytes > config.message_max_bytes:
        raise ConfigError(
            "message_max_bytes",
            "%d is too small for one piece of %d ms: write at least %d, or lower pacing_frame_ms"
            % (config.message_max_bytes, config.pacing_frame_ms, message_bytes),
        )


def _check_ring(config):
    needed = config.ring_needed_bytes()
    if needed > _RING_MAX_BYTES:
        raise ConfigError(
            "answer_max_s",
            "%d s would need a ring of %d bytes, more than %d: lower it, or let pacing be closer to real time"
            % (config.answer_max_s, needed, _RING_MAX_BYTES),
        )
    if config.ring_bytes and config.ring_bytes < needed:
        raise ConfigError(
            "ring_bytes",
            "an answer of answer_max_s (%d s) would fill %d bytes: write at least %d, or 0 to have it computed"
            % (config.answer_max_s, config.ring_bytes, needed),
        )


def _check_times(config):
    queue_ms = config.queue_needed_ms()
    if config.uplink_queue_ms and config.uplink_queue_ms < queue_ms:
        raise ConfigError(
            "uplink_queue_ms",
            "%d is not allowed: a press without a connection records press_wait_ms and preroll_ms, write at least %d, or 0"
            % (config.uplink_queue_ms, queue_ms),
        )
    if config.retry_max_ms < config.retry_min_ms:
        raise ConfigError(
            "retry_max_ms", "%d is below retry_min_ms: write at least %d" % (config.retry_max_ms, config.retry_min_ms)
        )


def _warn(config):
    if config.interrupt_keywords and config.mode != "free":
        config.warnings.append("interrupt_keywords: has no effect in mode %s" % config.mode)
    if config.prologue_text and not config.prologue:
        config.warnings.append("prologue_text: has no effect while prologue is false")
    if config.idle_timeout_ms <= config.ping_ms:
        config.warnings.append("idle_timeout_ms: is not above ping_ms, a quiet connection will be cut")
    if 0 < config.watchdog_ms < _LOOK_UP_MS:
        text = "watchdog_ms: on a bad network a look-up may stop everything for longer, and a reset follows: write %d"
        config.warnings.append(text % _LOOK_UP_MS)
