"""The spine of a bare CT without a network: `ct_classical`."""

from keyhole.segment.classical.method import ct_classical

__all__ = ["ct_classical"]
