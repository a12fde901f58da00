"""Stand-in for `esp32`: the few things that firmware asks a chip for."""

HEAP_DATA = 4
HEAP_EXEC = 1

_namespaces = {}


def mcu_temperature():
    return 41


def idf_heap_info(capabilities):
    """[(total, free, largest free block, least free ever), ...] in bytes, as with Wi-Fi and TLS up."""
    return [(327_680, 96_000, 61_440, 80_000)]


class NVS:
    """Non-volatile store of one namespace; lives as long as the run."""

    def __init__(self, namespace):
        self._items = _namespaces.setdefault(namespace, {})

    def _get(self, key):
        if key not in self._items:
            raise OSError(-0x1102, "ESP_ERR_NVS_NOT_FOUND")
        return self._items[key]

    def set_i32(self, key, value):
        self._items[key] = int(value)

    def get_i32(self, key):
        return self._get(key)

    def set_blob(self, key, value):
        self._items[key] = bytes(value)

    def get_blob(self, key, buffer):
        value = self._get(key)
        buffer[: len(value)] = value
        return len(value)

    def erase_key(self, key):
        self._get(key)
        del self._items[key]

    def commit(self):
        return None
