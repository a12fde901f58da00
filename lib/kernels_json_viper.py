"""The kernel that walks JSON, in MicroPython's native code: as kernels_viper, a file of its own to keep both small."""

import micropython


@micropython.viper
def json_walk(buf: ptr8, at: int, end: int, names: ptr8, state: ptr32) -> int:
    first = int(buf)
    buf = ptr8(first + at)
    end += first
    while end > int(buf) and ptr8(end - 1)[0] <= 32:
        end -= 1
    if end <= int(buf) or ptr8(end - 1)[0] != 0x7D:
        return -3
    # The last byte is the closing brace: it ends white space and numbers, so only what may run over it looks out.
    highs = 0x20202020
    highs <<= 2  # in two steps: the constant would not be a small integer
    slashes = 0x17171717
    slashes <<= 2
    level = state[0] & 3
    is_odd = state[0] >> 2
    is_opened = 0
    if level == 0:
        while buf[0] <= 32:
            buf = ptr8(int(buf) + 1)
        if buf[0] != 0x7B:
            return -3
        buf = ptr8(int(buf) + 1)
        is_opened = 1
    while True:
        if is_opened:
            # Nothing has been found yet in the object that was entered.
            level += 1
            entry = ptr8(int(names) + 2 + names[1])
            i = 1
            while entry[0]:
                if entry[0] >= level:
                    state[2 * i] = -1
                entry = ptr8(int(entry) + 2 + entry[1])
                i += 1
        while buf[0] <= 32:
            buf = ptr8(int(buf) + 1)
        at = buf[0]
        buf = ptr8(int(buf) + 1)
        if at == 0x7D:
            level -= 1
            if int(buf) == end:
                return -3 if level else -1 - is_odd
            is_opened = 0
            continue
        if is_opened == 0:
            if at != 0x2C:
                return -3
            while buf[0] <= 32:
                buf = ptr8(int(buf) + 1)
            at = buf[0]
            buf = ptr8(int(buf) + 1)
        is_opened = 0
        wanted = -2  # this is the name
        depth = 0  # of brackets in a value that is skipped
        while at == 0x22:
            start = int(buf)
            has_escape = 0
            while True:
                # A whole word at a time. What lies before buf in the first one does not count; a quote, a backslash,
                # a byte above 127 and perhaps what follows them give a hit, and only the first hit is looked at.
                at = (int(buf) & 3) << 3
                hits = highs >> at << at
                buf = ptr8(int(buf) - (at >> 3))
                while True:
                    if int(buf) >= end:
                        return -3
                    at = ptr32(buf)[0]
                    hits &= (at ^ 0x22222222) - 0x01010101 | (at ^ slashes) - 0x01010101
                    if hits:
                        break
                    hits = highs
                    buf = ptr8(int(buf) + 4)
                while hits & 0x80 == 0:
                    hits >>= 8
                    buf = ptr8(int(buf) + 1)
                if int(buf) >= end:
                    return -3
                at = buf[0]
                buf = ptr8(int(buf) + 1)
                if at == 0x22:
                    break
                if at == 0x5C:
                    has_escape = 1
                    buf = ptr8(int(buf) + 1)
            if depth == 0:
                at = int(buf) - 1 - start
                if wanted != -2:
                    if wanted > 0:
                        state[2 * wanted] = start - first
                        state[2 * wanted + 1] = at
                        is_odd |= has_escape
                    break
                is_odd |= has_escape
                wanted = -1
                entry = names
                i = 0
                while entry[0]:
                    if entry[1] == at and entry[0] == level:
                        k = at
                        while k and entry[k + 1] == ptr8(start)[k - 1]:
                            k -= 1
                        if k == 0:
                            wanted = i
                            break
                    entry = ptr8(int(entry) + 2 + entry[1])
                    i += 1
                while buf[0] <= 32:
                    buf = ptr8(int(buf) + 1)
                if buf[0] != 0x3A:
                    return -3
                buf = ptr8(int(buf) + 1)
                while buf[0] <= 32:
                    buf = ptr8(int(buf) + 1)
                at = buf[0]
                buf = ptr8(int(buf) + 1)
                if at == 0x22:
                    if wanted > 0 and wanted == state[1]:
                        state[0] = is_odd << 2 | level
                        at = int(buf) - first
                        state[2 * wanted] = at
                        return at
                    continue
                if at == 0x2C or at == 0x3A or at & 0xDF == 0x5D:
                    return -3
                if wanted > 0:
                    state[2 * wanted] = -1
                if at == 0x7B and wanted == 0:
                    is_opened = 1
                    break
                if at & 0xDF != 0x5B:
                    while buf[0] > 0x22 and buf[0] != 0x2C and buf[0] & 0xDF != 0x5D:
                        buf = ptr8(int(buf) + 1)
                    break
                depth = 1
            at = 0
            while depth and at != 0x22:
                if int(buf) >= end:
                    return -3
                at = buf[0]
                buf = ptr8(int(buf) + 1)
                if at & 0xDF == 0x5B:
                    depth += 1
                elif at & 0xDF == 0x5D:
                    depth -= 1
            if depth == 0:
                if int(buf) >= end:
                    return -3
                break
        if wanted == -2:
            return -3
