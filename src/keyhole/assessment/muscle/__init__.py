"""Size and fat of the muscles beside the spine."""
