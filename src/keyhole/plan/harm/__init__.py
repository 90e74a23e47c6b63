"""What an operation costs: displaced volume by tissue and muscle, openings, and what it crosses."""

from keyhole.plan.harm.count import Harming, harm
from keyhole.plan.harm.inside import bundle, burden, does, volumes
from keyhole.plan.harm.recount import mask_recounts, recounts, spread

__all__ = ["Harming", "bundle", "burden", "does", "harm", "mask_recounts", "recounts", "spread", "volumes"]
