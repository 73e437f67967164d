"""Questions for the offline model over three schemas, with the SQL that gives the right rows."""
