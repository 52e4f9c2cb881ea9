"""Running untrusted programs: sandbox, languages, verdicts, workers. Needs no learning library."""
