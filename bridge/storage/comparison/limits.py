"""How much of comparisons is kept."""

from typing import Final

# Of one class of difference, over all workers: what a person looks at.
CLASS_SAMPLES_MAX: Final = 20
# Of one route: with 64 KiB for each body, at most 64 MiB; some hundred KiB as a rule.
ROUTE_SAMPLES_MAX: Final = 500
