"""team5: match, rank and simulate tandem mass spectra with one fragment-grounded model."""

__version__ = "0.1.0"
