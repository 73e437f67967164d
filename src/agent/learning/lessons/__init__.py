"""What the background learner learns: one module for each kind of lesson, and one line in `LESSONS`.

A lesson is a pure function of what happened (`Evidence`). It returns what should be known now (`Findings`). `keeping` compares
that with the memories that were learned before, so a run can be repeated, interrupted or run twice without learning twice.
"""
