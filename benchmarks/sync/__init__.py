"""Parts of the benchmark of synchronisation: delivery, connections, kills, merging."""
