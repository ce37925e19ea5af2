"""What is counted of a route's comparisons: numbers that are added up over workers.

A count has a name and, for some, what it is of: a field, a rule, a reason, a bucket.
"""

from collections import Counter
from typing import Final, TypeAlias

Tally: TypeAlias = Counter[tuple[str, str]]
"""(name, of what) → count; `of` is empty where a name stands alone."""

# Comparisons. `compared` is the sum of the outcomes.
COMPARED: Final = "compared"
OUTCOME: Final = "outcome"  # of: Outcome
FLAPPING: Final = "flapping"  # A difference that the second look did not find again.
NOISE: Final = "noise"  # A mismatch where the authority differs from itself at every such field.
UNCONFIRMED: Final = "unconfirmed"  # A mismatch without a second look.

# Triples: authority, other, authority again.
PROBED: Final = "probed"  # The authority was asked twice, by chance.
PROBED_ALONE: Final = "probed-alone"  # As `probed`, without a comparison beside it.
# The other side differs where the authority agrees with itself; of: the field, of several the one
# that differs least by itself.
EXCESS: Final = "excess"
NOISE_EXCESS: Final = "noise-excess"  # By chance: the reverse, at a field not known as noise.

# Fields; of: the field.
DIFFERS: Final = "field.differs"
KIND: Final = "field.kind"  # of: KIND FIELD
NOISY: Final = "field.noisy"  # The authority differs from itself there (of `probed`).
CONFIRMED: Final = "field.confirmed"  # As `excess`.
NOISE_ONLY: Final = "field.noise-only"  # As `noise-excess`.

# Rules; of: the rule's name.
RULE_ANSWERS: Final = "rule.answers"  # Answers in which it hid something.
RULE_DIFFERENCES: Final = "rule.differences"

# The mirror.
REQUESTS: Final = "requests"  # That could have been copied.
SHED: Final = "shed"  # of: why a copy was not made or not compared.
# Of: ORDER `same` or `different`, where ORDER is when the copy began: `together` with the
# authority's call, or `after` its answer.
ORDER: Final = "order"
SKEW: Final = "skew"  # of: ORDER BUCKET; time from the authority's call to the copy's.
LATENCY: Final = "latency"  # of: SIDE BUCKET, and SIDE/COHORT BUCKET.
EVERYBODY: Final = "all"
"""The cohort of everybody."""

OTHER_FIELDS: Final = "(other fields)"
"""Fields beyond `FIELDS_COUNT_MAX`, together."""
# A route's answers have some dozens of fields; the number is also how many hypotheses the share of
# false findings is kept over, so that it must be fixed before anything was seen.
FIELDS_COUNT_MAX: Final = 256
