"""Licences of spectra: their spellings, and those under which data may be used."""

import re

# Licences used for training by default; CC BY-SA extends to the weights.
DEFAULT_LICENSES = ("CC0", "CC BY", "CC BY-SA", "dl-de/by-2-0")


def normalize_license(text: str) -> str:
    """Return the family of a licence: ``CC BY 4.0`` and ``CC-BY`` are ``CC BY``.

    Versions of a Creative Commons licence are one family; additions that change what is allowed
    (``NC``, ``ND``, ``SA``) are not. An unknown licence is returned stripped.
    """
    compact = re.sub(r"[\s_./]+", "-", text.strip().casefold()).strip("-")
    if re.match(r"(creative-commons-zero|cc-?0|cc-?zero|public-domain)\b", compact):
        return "CC0"
    if re.match(r"(dl-de|datenlizenz-deutschland)\b.*\bby\b", compact):
        return "dl-de/by-2-0"
    creative_commons = re.match(r"(cc|creative-commons)-?(?P<terms>by(?:-?(?:nc|nd|sa))*)", compact)
    if creative_commons:
        terms = creative_commons["terms"]
        extra = [part.upper() for part in ("nc", "nd", "sa") if part in terms[2:]]
        return "-".join(["CC BY", *extra])
    return text.strip()
