"""The course after the operation beside the forecast, and when to advance, to hold, to call the clinic."""

from keyhole.recovery.progress.follow import follow
from keyhole.recovery.progress.model import Advice, Course, Observation, Point, Progress, Reason
from keyhole.recovery.progress.observation import read_observations
from keyhole.recovery.progress.record import plain_progress
from keyhole.recovery.progress.rules import Rule, Rules, parse_rules, read_rules, shipped_rules

__all__ = [
    "Advice",
    "Course",
    "Observation",
    "Point",
    "Progress",
    "Reason",
    "Rule",
    "Rules",
    "follow",
    "parse_rules",
    "plain_progress",
    "read_observations",
    "read_rules",
    "shipped_rules",
]
