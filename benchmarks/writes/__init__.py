"""Generated statements that write, with the databases they are written for; tests run fewer of them than the benchmark."""
