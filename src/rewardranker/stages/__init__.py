"""The stages of a run: one file for each paragraph of the paper's section 3.

A stage is a function of the run, its recipe and the stages before it. It says what decides it (its config
and inputs, which make its key, see `rewardranker.run`) and does its work, if that isn't done yet.
"""
