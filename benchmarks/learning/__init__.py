"""Measure what the agent learns from use, on questions that somebody wrote who has not seen the learner."""
