"""The spine of a bare CT without a network: `ct_classical`."""
