"""The garbage collector: it looks less often, and never at what was there when the process began its work."""

import gc

#: Objects that may be made beyond those freed before it looks at the youngest, and how many such looks until it looks
#: at older ones. Batches and requests leave few cycles behind.
THRESHOLDS = 20_000, 20, 50


def spare_what_stays() -> None:
    """Call it once, when all that lasts is there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
