"""Stand-in for `neopixel`: keeps the colours and tells the world of every change."""

from simworld import world


class NeoPixel:
    """n pixels of bpp colours on a pin; nothing shows before write()."""

    ORDER = (1, 0, 2, 3)

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin = pin
        self.n = n
        self.bpp = bpp
        self._pixels = [(0,) * bpp for _ in range(n)]
        self._shown = None
        pin.init(pin.OUT)

    def __len__(self):
        return self.n

    def __setitem__(self, i, colour):
        self._pixels[i] = self._checked(colour)

    def __getitem__(self, i):
        return self._pixels[i]

    def fill(self, colour):
        colour = self._checked(colour)
        for i in range(self.n):
            self._pixels[i] = colour

    def _checked(self, colour):
        # The real one writes into a bytearray: a number beyond a byte is cut off there, which is never meant.
        colour = tuple(colour)
        if len(colour) < self.bpp:
            raise IndexError("%d colours for a pixel of %d" % (len(colour), self.bpp))
        for value in colour:
            if not 0 <= value <= 255:
                raise ValueError("a colour is 0..255, not %r" % (value,))
        return colour[: self.bpp]

    def write(self):
        world.current.step()
        if self._pixels != self._shown:
            self._shown = list(self._pixels)
            world.current.on_led(list(self._pixels))
