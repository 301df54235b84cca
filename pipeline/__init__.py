"""The library that the stages call; importing it does no work."""

import time

# When this process began to read the project's files: `pipeline.core.guard` refuses later changes.
STARTED = time.time_ns()
