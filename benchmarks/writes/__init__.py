"""Generated statements that write, and their databases. Tests run fewer of them than the benchmark does."""
