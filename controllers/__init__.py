"""Controllers, one file an algorithm; the file's name is the name on the command line."""
