"""Masked-language-model inputs as a pure function: the same block and key are masked in the same way, always.

Source: Devlin et al. 2019, section 3.1 and appendix A.1. Of the tokens that are to be predicted 80 % are
masked, 10 % become a random token and 10 % stay, as DataCollatorForLanguageModeling does; that one draws from
the state of a generator, so that a batch fetched early, or again after a kill, is another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transformer_e2e.data.permutation import uniform

IGNORED = -100  # label of a token that is not to be predicted
MASKED, REPLACED = 0.8, 0.9  # below the first: masked; from it to the second: another token; above: as it was

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Masking:
    """`special_ids` are never chosen, but any of the `vocab_size` ids may replace a token."""

    probability: float
    mask_id: int
    vocab_size: int
    special_ids: tuple[int, ...]

    def __call__(self, ids: Ids, key: int) -> tuple[Ids, Ids]:
        """(inputs, labels) of a block of shape (tokens,); at least one token has a label, if one may have.

        A block in which chance takes no token gives a loss over nothing, which is no number: in a batch of
        one block of 8 tokens that would be every fourth.
        """
        chance, kind, other = uniform(3 * len(ids), key=key).reshape(3, -1)
        chance[np.isin(ids, self.special_ids)] = 2.0
        chosen = chance < max(self.probability, np.nextafter(chance.min(), 1.0))
        chosen &= chance < 1.0
        inputs = np.where(chosen & (kind < MASKED), self.mask_id, ids)
        replaced = chosen & (kind >= MASKED) & (kind < REPLACED)
        inputs = np.where(replaced, (other * self.vocab_size).astype(np.int64), inputs)
        return inputs, np.where(chosen, ids, IGNORED)
