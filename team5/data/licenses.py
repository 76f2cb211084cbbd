"""Licences of spectra: the ways they are written, and which of them data may be used under."""

import re

# What may be trained on unless chosen otherwise; CC BY-SA passes on to the weights.
DEFAULT_LICENSES = ("CC0", "CC BY", "CC BY-SA", "dl-de/by-2-0")


def normalize_license(text: str) -> str:
    """Return the family of a licence: ``CC BY 4.0`` and ``CC-BY`` are ``CC BY``.

    Versions of a Creative Commons licence are one family; additions that change what is allowed
    (``NC``, ``ND``, ``SA``) are not. A text that is no known licence comes back stripped.
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
