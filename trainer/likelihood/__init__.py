"""Bits per dimension: a variational bound for any process, exact by the probability-flow ODE.

Images are bytes; a density p over their noised stand-in x turns into bits by
bits/dim = (log q(x) - log p(x)) / (D ln 2), q being the noise (`dequantised`).

`bits_per_dim`, `log_likelihood` and `variational_bound` give the value for each image;
`exact_bits`, `exact_nats` and `bound_bits` the same with its random error and cost.
"""

from trainer.likelihood.bound import (
    Apart,
    Estimate,
    Part,
    Term,
    bound_bits,
    bound_parts,
    bound_terms,
    chain_shares,
    decoder_nats,
    prior_nats,
    taken_apart,
    variational_bound,
)
from trainer.likelihood.exact import (
    TOLERANCE,
    bits_per_dim,
    dequantised,
    exact_bits,
    exact_nats,
    log_likelihood,
)

__all__ = [
    "TOLERANCE", "Apart", "Estimate", "Part", "Term", "bits_per_dim", "bound_bits", "bound_parts",
    "bound_terms", "chain_shares", "decoder_nats", "dequantised", "exact_bits", "exact_nats",
    "log_likelihood", "prior_nats", "taken_apart",
    "variational_bound",
]  # fmt: skip
