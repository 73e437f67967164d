"""Where the values of an action come from: the user, a trusted place, data, or nowhere."""
