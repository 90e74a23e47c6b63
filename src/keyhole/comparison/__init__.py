"""Small openings against open operations in patients who were not drawn by lot: estimates, and what they rest on."""
