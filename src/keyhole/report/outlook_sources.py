"""The works that the surgeon's page of what to expect names, numbered as they come."""

from __future__ import annotations

import re


class Sources:
    """Citations in the order in which they are first used, numbered from 1."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], int] = {}

    def cite(self, words: str, address: str) -> str:
        """The number in brackets of a work; one address is one work."""
        key = next((k for k in self._found if address and k[1] == address), (words, address))
        number = self._found.setdefault(key, len(self._found) + 1)
        return f"[{number}]"

    def listed(self) -> tuple[tuple[int, str, str, str], ...]:
        """Number, words, address as text, and the address to open ("" if none is known)."""
        return tuple((n, words, address, link(address)) for (words, address), n in self._found.items())


def link(address: str) -> str:
    """Where `address` (doi:..., PMC..., PMID..., or an address) is opened; empty for anything else."""
    if address.startswith(("https://", "http://")):
        return address if re.fullmatch(r"\S+", address) else ""
    doi = re.fullmatch(r"doi:(10\.\S+)", address)
    if doi:
        return f"https://doi.org/{doi[1]}"
    pmc = re.fullmatch(r"PMC\d+", address)
    if pmc:
        return f"https://pmc.ncbi.nlm.nih.gov/articles/{pmc[0]}/"
    pmid = re.fullmatch(r"(?:PMID|pmid)[: ]?(\d+)", address)
    return f"https://pubmed.ncbi.nlm.nih.gov/{pmid[1]}/" if pmid else ""
