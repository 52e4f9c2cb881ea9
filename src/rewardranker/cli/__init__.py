"""The command line: one file a command; each parses, calls, prints. `main` turns errors into exit codes."""
