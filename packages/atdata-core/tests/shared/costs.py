"""What things cost, whatever else the machine does."""

import time


def cpu_seconds(action):
    """The least CPU time of this process that an action has taken; to be compared with that of another action."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        action()
        taken.append(time.process_time() - began)
    return min(taken)
