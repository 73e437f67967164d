"""Questions for the offline model over four schemas, with the SQL that gives the right rows."""
