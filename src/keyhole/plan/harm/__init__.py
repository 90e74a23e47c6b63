"""What an operation costs: displaced volume by tissue and muscle, openings, and what it crosses."""

from keyhole.plan.harm.inside import bundle, burden, does, volumes
from keyhole.plan.harm.recount import mask_recounts, recounts, spread

__all__ = ["bundle", "burden", "does", "mask_recounts", "recounts", "spread", "volumes"]
