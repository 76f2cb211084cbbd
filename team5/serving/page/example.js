// Caffeine among structures of the same formula: two that keep a propyl group together, and two that
// are no xanthines.

export const EXAMPLE = {
  peaks: `m/z        intensity
195.0877   100
180.0642     3
138.0662    75
123.0427     5
110.0713    22
83.0604      8
69.0447     11
56.0495      6
42.0338      3`,
  structures: `CN1C=NC2=C1C(=O)N(C(=O)N2C)C caffeine
CN=C(N)NC1=CC=C(C=C1)[N+](=O)[O-] N-methyl-N'-(4-nitrophenyl)guanidine
CCCN1C2=C(NC=N2)C(=O)NC1=O enprofylline
CCCN1C(=O)C2=C(NC=N2)NC1=O 1-propylxanthine
C1=CC(=CC=C1C(=O)NN)C(=O)NN terephthalic dihydrazide`,
  adduct: "[M+H]+",
  collision_energy: "30 NCE",
  precursor_mz: "195.0877",
  instrument_type: "LC-ESI-QFT",
};
