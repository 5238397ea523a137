"""Real AT Protocol servers on this machine, for tests: the reference implementations, from npm."""
