"""Public helpers for tests: real servers on loopback and the conformance suites."""
