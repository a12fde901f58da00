"""How many blocks of its DMA the player hands over at once while sound flows. Needed once; then the player lets go of it.

One conversion and one write for several blocks cost a fraction of several of each. But what is handed over at once has
to fit at once, so the DMA has become emptier by then, and holds less in reserve if the loop is late.
"""

from ..compat import const

_BLOCK_FRAMES = const(256)
_RUN_MS = const(32)  # a block of 8 kHz
_STALL_MS = const(32)  # what the DMA holds at least when a run is due; the clock may be wrong by a block


def run_blocks(dma_ms, block_ms, rate_hz):
    """Blocks in a run for a DMA of dma_ms: some 32 ms of them, fewer where the DMA is shallow, at least 1."""
    n_blocks = _RUN_MS * rate_hz // (1000 * _BLOCK_FRAMES)
    while n_blocks > 1 and not is_enough(dma_ms - n_blocks * block_ms, block_ms):
        n_blocks -= 1
    return n_blocks


def is_enough(left_ms, block_ms):
    """May the player wait until the DMA holds no more than this? Else it hands over block by block."""
    return left_ms - block_ms >= _STALL_MS
