"""A soak as numbers: outcomes, durations, and the heap's growth per turn."""

WARM_UP_TURNS = 50  # caches, free lists and books of bounded length fill up in these


class Figures:
    """What a soak left behind. heap: [(turn, bytes in use after a collection, bytes free)], oldest first."""

    def __init__(self):
        self.heap = []
        self.outcomes = {}  # outcome -> turns
        self.errors = {}  # kind -> times
        self.turn_ms = []
        self.stuck = None  # the child's last words when a turn never ended
        self.trouble = ""  # why the child ended otherwise

    def take(self, report):
        """One line of the child."""
        if "at" in report:
            self.heap.append((report["at"], report["used"], report["free"]))
        elif "turn" in report:
            _count(self.outcomes, report["turn"])
            self.turn_ms.append(report["ms"])
        elif "error" in report:
            _count(self.errors, report["error"])
        elif "stuck" in report:
            self.stuck = report

    @property
    def turns(self):
        return len(self.turn_ms)

    @property
    def growth_bytes_per_turn(self):
        """Least squares through the heap after the warm-up; None with fewer than three points."""
        points = [(turn, used) for turn, used, _ in self.heap if turn >= WARM_UP_TURNS]
        return slope(points) if len(points) >= 3 else None

    def turn_ms_at(self, percent):
        """How long this share of the turns took at the most."""
        ordered = sorted(self.turn_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0


def slope(points):
    """Of the straight line through [(x, y)] with the least squares."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def _count(counts, key):
    counts[key] = counts.get(key, 0) + 1
