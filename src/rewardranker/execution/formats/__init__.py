"""Files of programs and of completions to run, and the files that their verdicts are written to."""
