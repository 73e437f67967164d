"""Statements that are, or are not, plain reads, for `bench_reads` and the tests."""
