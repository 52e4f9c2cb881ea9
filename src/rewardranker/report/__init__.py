"""What a run says of itself: the page (`write_report`), the terminal's table, the viewer."""

from rewardranker.report.page import write_report

__all__ = ["write_report"]
