"""Templates of plans that people make: a draft that is edited step by step and need not run, and versions that were checked when they were saved."""
