"""The command line: a module for each script and each ``semiuhpe`` command, and the parsing of their options."""
