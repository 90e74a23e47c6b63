"""The page of a plan in depth: the front, every approach with its flight, harm, screws, fusion, operations."""

from keyhole.report.planning.page import PLAN_PAGE, plan_page

__all__ = ["PLAN_PAGE", "plan_page"]
