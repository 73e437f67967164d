"""What a learner knows, what comes next, and how something was pronounced: pure rules."""
