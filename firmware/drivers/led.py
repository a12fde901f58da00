"""What the speaker shows: one pattern for every state, and overlays for errors and for the volume.

Colours say who is at work, movement says that somebody is waited for:

    green    the microphone is open          steady: speak; breathing: free talk; fast: speak, the link is being made
    violet   the cloud thinks
    blue     the speaker speaks              (dim: it is ready)
    amber    no connection                   slow: waiting to try again; fast: connecting
    flashes  an error, counted in groups     magenta: a setting; red: the network at home; orange: the way to the
                                             cloud; white: this speaker or this question
"""

from unload import unload

from ..compat import const, ticks_diff

_STEADY = const(0)
_BREATHE = const(1)  # rises and falls within the period
_BLINK = const(2)  # half of the period on
_SPARK = const(3)  # on for an eighth of the period
_FLASHES = const(4)  # groups of flashes with a pause; the last number is how many

# Of 255, as bright as an indicator should be in a dark room.
_GREEN = (0, 40, 0)
_DIM_GREEN = (0, 12, 0)
_BLUE = (0, 8, 48)
_DIM_BLUE = (0, 1, 6)
_VIOLET = (28, 0, 40)
_AMBER = (36, 16, 0)
_RED = (64, 0, 0)
_WHITE = (30, 30, 30)
_OFF = (0, 0, 0)

# name: (colour, movement, period in ms)
PATTERNS = {
    "off": (_OFF, _STEADY, 1000),
    "standby": (_DIM_BLUE, _SPARK, 4000),
    "offline": (_AMBER, _SPARK, 2000),
    "connecting": (_AMBER, _BLINK, 400),
    "calling": (_GREEN, _BLINK, 200),
    "calling_tail": (_DIM_GREEN, _BLINK, 200),
    "waiting": (_VIOLET, _BLINK, 400),
    "idle": (_DIM_BLUE, _STEADY, 1000),
    "listening": (_GREEN, _STEADY, 1000),
    "tail": (_DIM_GREEN, _STEADY, 1000),
    "thinking": (_VIOLET, _BREATHE, 1200),
    "speaking": (_BLUE, _STEADY, 1000),
    "finishing": (_BLUE, _STEADY, 1000),
    "free_listening": (_GREEN, _BREATHE, 3000),
    "free_thinking": (_VIOLET, _BREATHE, 3000),
    "free_speaking": (_BLUE, _BREATHE, 3000),
    "free_finishing": (_BLUE, _BREATHE, 3000),
    "provisioning": (_WHITE, _BREATHE, 1600),
}

_FLASH_MS = const(300)  # half of it on
_PAUSE_MS = const(600)
_ERROR_SHOWN_MS = const(3000)
_VOLUME_SHOWN_MS = const(1000)
_VOLUME_FULL_PERCENT = const(150)
_VOLUME_LEVELS = const(40)
_LEVELS = const(16)  # steps of breathing: each is one write to the pixel
_FULL = const(256)


def pattern_name(state, is_free):
    """The pattern of a session state; free talk has its own for some."""
    name = "free_" + state
    return name if is_free and name in PATTERNS else state


class Led:
    """pixel: neopixel.NeoPixel or alike (fill, write), or None for a board without one; all its pixels show the same.

    Call step() every 20 ms or so; nothing shows before. The newest of flash() and show_volume() covers the pattern for
    its time.
    """

    def __init__(self, pixel, ticks_ms):
        self._pixel = pixel
        self._ticks_ms = ticks_ms
        self._name = ""
        self._pattern = PATTERNS["off"]
        self._since_ms = ticks_ms()
        self._overlay = None
        self._overlay_since_ms = 0
        self._overlay_ms = 0
        self._flashes = 0
        self._rgb = [-1, -1, -1]  # on the pixel now; nothing is, so the first step writes

    def show(self, name):
        """name: a key of PATTERNS. The same name again does not restart its movement."""
        if name == self._name:
            return
        self._pattern = PATTERNS[name]
        self._name = name
        self._since_ms = self._ticks_ms()

    def flash(self, kind):
        """Show an error, kind of errors.KINDS, for 3 s."""
        from . import led_errors

        colour, self._flashes = led_errors.ERRORS[kind]
        unload(__name__.rpartition(".")[0], ("led_errors",))
        self._cover((colour, _FLASHES, self._flashes * _FLASH_MS + _PAUSE_MS), _ERROR_SHOWN_MS)

    def show_volume(self, percent):
        """Show 0 to 150 percent as brightness for 1 s; silence is red."""
        level = min(percent, _VOLUME_FULL_PERCENT) * _VOLUME_LEVELS // _VOLUME_FULL_PERCENT
        self._cover(((level, level, level) if level > 0 else _RED, _STEADY, 1000), _VOLUME_SHOWN_MS)

    def _cover(self, pattern, ms):
        self._overlay = pattern
        self._overlay_ms = ms
        self._overlay_since_ms = self._ticks_ms()

    def step(self):
        """Bring the pixel up to date; writes to it only when its colour changes. Never allocates."""
        pattern = self._pattern
        now_ms = self._ticks_ms()
        t_ms = ticks_diff(now_ms, self._since_ms)
        if self._overlay is not None:
            overlay_ms = ticks_diff(now_ms, self._overlay_since_ms)
            if overlay_ms < self._overlay_ms:
                pattern = self._overlay
                t_ms = overlay_ms
            else:
                self._overlay = None
        self._put(pattern[0], _brightness(pattern[1], t_ms % pattern[2], pattern[2], self._flashes))

    def _put(self, colour, brightness):
        rgb = self._rgb
        is_new = False
        for i in range(3):
            value = colour[i] * brightness // _FULL
            if rgb[i] != value:
                rgb[i] = value
                is_new = True
        if is_new and self._pixel is not None:
            self._pixel.fill(rgb)
            self._pixel.write()

    def off(self):
        """Dark from now on; for the end of the application."""
        self._overlay = None
        self.show("off")
        self.step()


def _brightness(movement, t_ms, period_ms, flashes):
    """0.._FULL at t_ms into the period."""
    if movement == _STEADY:
        return _FULL
    if movement == _BLINK:
        return _FULL if 2 * t_ms < period_ms else 0
    if movement == _SPARK:
        return _FULL if 8 * t_ms < period_ms else 0
    if movement == _FLASHES:
        is_flash = t_ms < flashes * _FLASH_MS and 2 * (t_ms % _FLASH_MS) < _FLASH_MS
        return _FULL if is_flash else 0
    # Breathing: up and down in _LEVELS steps, never quite dark.
    rise = 2 * t_ms if 2 * t_ms < period_ms else 2 * (period_ms - t_ms)
    return (rise * (_LEVELS - 1) // period_ms + 1) * _FULL // _LEVELS
