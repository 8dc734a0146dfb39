"""How a step's sequences are divided: every one once, for any number of processes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training_case import case_settings
from transformer_e2e.compute.device import own_gpu, threads_each
from transformer_e2e.compute.place import Place
from transformer_e2e.errors import ConfigError
from transformer_e2e.trainer.share import Piece, require_a_sequence_each, share


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_every_sequence_has_one_rank(batch_size: int, accumulation: int) -> None:
    settings = case_settings("fp32", batch_size=batch_size, gradient_accumulation=accumulation)
    sequences = batch_size * accumulation
    for size in range(1, sequences + 1):
        taken = np.zeros((accumulation, batch_size), dtype=int)
        lengths = []
        for rank in range(size):
            pieces = share(rank, size, settings)
            lengths.append(sum(piece.end - piece.first for piece in pieces))
            for piece in pieces:
                assert 0 <= piece.first < piece.end <= batch_size
                taken[piece.micro_batch, piece.first : piece.end] += 1
        assert (taken == 1).all()
        assert max(lengths) - min(lengths) <= 1 and min(lengths) >= 1


def test_alone_takes_whole_micro_batches_in_order() -> None:
    settings = case_settings("fp32", batch_size=4, gradient_accumulation=3)
    assert share(0, 1, settings) == [Piece(0, 0, 4), Piece(1, 0, 4), Piece(2, 0, 4)]


def test_micro_batches_stay_whole_where_they_divide_evenly() -> None:
    settings = case_settings("fp32", batch_size=4, gradient_accumulation=4)
    assert share(1, 2, settings) == [Piece(2, 0, 4), Piece(3, 0, 4)]


def test_more_processes_than_sequences_are_refused_with_what_works() -> None:
    settings = case_settings("fp32", batch_size=3, gradient_accumulation=2)
    require_a_sequence_each(6, settings)
    with pytest.raises(ConfigError, match=r"7 processes .* 6 sequences .*--nproc_per_node=6 .*batch_size=4"):
        require_a_sequence_each(7, settings)


def test_threads_are_those_of_all_processes_together() -> None:
    assert [threads_each(8, 2), threads_each(1, 2), threads_each(0, 2), threads_each(3, 2)] == [4, 1, 0, 1]


def test_each_process_has_a_gpu_of_its_own() -> None:
    place = Place(rank=5, size=8, local_rank=1, local_size=4)
    assert str(own_gpu(place, 4)) == "cuda:1"
    with pytest.raises(ConfigError, match=r"4 processes .* 2; --nproc_per_node=2 works, or --device=cpu"):
        own_gpu(place, 2)
