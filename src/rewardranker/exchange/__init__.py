"""Candidates and preferences as data sets that others can load: Parquet tables, TRL's formats, a card."""
