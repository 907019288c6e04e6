"""Two processes average their gradients and end with the same weights."""

import os
import socket

import torch
import torch.multiprocessing as mp

from diffpose.training.distributed import Team, join_team


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def work(rank, port, results):
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}  # fmt: skip
    with join_team() as team:
        weight = torch.nn.Parameter(torch.zeros(3))
        weight.grad = torch.tensor([1.0, 2.0, 3.0]) * (rank + 1)
        team.average_gradients([weight])
        results[rank] = (weight.grad.tolist(), team.agree(float(rank + 7)), team.leads)


def test_gradients_are_averaged_and_the_leader_decides():
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(work, args=(free_port(), results), nprocs=2)
        found = dict(results)

    assert found[0] == ([1.5, 3.0, 4.5], 7.0, True)
    assert found[1] == ([1.5, 3.0, 4.5], 7.0, False)


def test_alone_nothing_is_exchanged():
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)

    Team().average_gradients([weight])

    assert weight.grad.tolist() == [1, 1]
    assert Team().agree(3.5) == 3.5
