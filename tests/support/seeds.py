"""One seed for a whole run, also where several processes share its tests."""

import os
import random

__all__ = ["SEED"]

SEED = int(os.environ.setdefault("BURSAR_TEST_SEED", str(random.SystemRandom().randrange(10**6))))
"""Stands in the names of the tests that use it: set the variable to run them again as they were."""
