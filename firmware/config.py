"""The settings: one JSON file, read once at the start, judged by the same code on the device and on the host.

config_table.py has every setting, config_rules.py the judge. Both are let go of when they have done their work: on
a 32-bit MicroPython they would keep 20 KB of heap for good.
"""

from unload import unload

from .compat import const
from .errors import ConfigError

_ENOENT = const(2)
_FILE_MAX_BYTES = const(16_384)
_JITTER_RESERVE_MS = const(1000)
_RX_MIN_BYTES = const(4096)
_RX_MAX_BYTES = const(16_384)
_JSON_BYTES = const(256)  # around the sound of one piece of an answer


class Config:
    """One attribute per row of config_table.ROWS, all checked, and

    downlink_bytes_per_s   what one second of an answer takes in the ring
    unknown                names in the file that are no settings; ignored
    warnings               sentences that a person should see at every start, unknown names included
    """

    def __init__(self, values, secrets, unknown, warnings):
        for key in values:
            setattr(self, key, values[key])
        self._secrets = secrets
        self.unknown = unknown
        self.warnings = warnings
        self.downlink_bytes_per_s = self.downlink_hz * (2 if self.downlink_codec == "pcm" else 1)

    def redacted(self):
        """All settings as they are in force, fit for a log or a bug report."""
        from . import config_table

        shown = {}
        for row in config_table.ROWS:
            key = row[0]
            value = getattr(self, key)
            shown[key] = "(set, not shown)" if key in self._secrets and value else value
        _forget()
        address, mark, _ = self.cloud_url.partition("?")
        shown["cloud_url"] = address + ("?(not shown)" if mark else "")  # some people put a key there
        return shown

    def ring_needed_bytes(self):
        """The ring that an answer of answer_max_s never fills, in wire bytes.

        A paced cloud sends a window at once, so the ring holds one window, the surplus that grows while the windows
        are longer than their period, and a reserve for a late window that arrives together with the next. Without
        pacing the whole answer may come at once.
        """
        need_ms = 1000 * self.answer_max_s
        if self.pacing_frames:
            window_ms = self.pacing_frames * self.pacing_frame_ms
            surplus_ms = (window_ms - 1000 * self.pacing_period_s) * self.answer_max_s // self.pacing_period_s
            need_ms = min(need_ms, surplus_ms + window_ms + _JITTER_RESERVE_MS)
        return need_ms * (self.downlink_bytes_per_s // 1000)

    def queue_needed_ms(self):
        """The longest question that a press without a connection records, in ms."""
        return self.press_wait_ms + self.preroll_ms

    def rx_needed_bytes(self):
        """The buffer for reading that holds four pieces of an answer, so that few are cut by its end. How long the
        pieces of a cloud without pacing are is not known.
        """
        if not self.pacing_frames:
            return _RX_MAX_BYTES
        piece_bytes = (self.pacing_frame_ms * self.downlink_bytes_per_s // 1000 + 2) // 3 * 4 + _JSON_BYTES
        return min(_RX_MAX_BYTES, max(_RX_MIN_BYTES, 4 * piece_bytes))


def load(path):
    """Read and check the file at path; ConfigError says which setting is wrong and what is allowed."""
    try:
        with open(path, "rb") as file:
            data = file.read(_FILE_MAX_BYTES + 1)
    except OSError as error:
        if error.errno == _ENOENT:
            text = "%s is not there: provision the speaker, or write one after config.example.json"
            raise ConfigError("", text % path)
        raise ConfigError("", "%s cannot be read (%s): write one after config.example.json" % (path, error))
    if len(data) > _FILE_MAX_BYTES:
        raise ConfigError("", "%s is longer than %d bytes: this cannot be the settings" % (path, _FILE_MAX_BYTES))
    try:
        return parse(data)
    except ConfigError as error:
        if error.key:
            raise
        raise ConfigError("", "%s: %s" % (path, error.text))


def parse(text):
    """The Config of a JSON text (str or bytes); ConfigError as load()."""
    from . import config_rules

    try:
        return config_rules.judge(text)
    finally:
        _forget()


def describe():
    """[(key, kind, default, what is allowed, help)] of every setting: for --help and the README."""
    from . import config_rules

    rows = config_rules.rows()
    _forget()
    return rows


def suggestion(name):
    """The setting that a person who wrote `name` may have meant, "" when none is near."""
    from . import config_rules

    return config_rules.nearest(name, [row[0] for row in describe()])


def _forget():
    unload(__name__.rpartition(".")[0], ("config_rules", "config_table"))
    unload("", ("json_strict",))
