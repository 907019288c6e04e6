"""Laws of runs over several processes: who computes does not matter, and nobody waits for ever."""

import multiprocessing
import os
from dataclasses import replace

import pytest
import torch

from diffpose.data import batches
from diffpose.data.batches import prefetch
from diffpose.errors import DiffPoseError, FormatError, SettingsError, WeightsError
from diffpose.tensorfile import load_tensors
from diffpose.training import state
from diffpose.training.config import parse_training_config
from diffpose.training.data import mixture_of
from diffpose.training.distributed import Team, join_team
from diffpose.training.loop import Trainer
from tests.training.test_distributed import free_port
from tests.training.test_training import COARSE, DIFFUSION, JOINT, config, data, tensors

BOUND_S = 60.0


def join(rank, port):
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    return join_team()


def train_in_a_team(rank, port, plan, folder):
    torch.set_num_threads(1)
    with join(rank, port) as team:
        Trainer(plan, replace(data(), monitor=None), folder, team=team).run()


def together(target, *arguments, bound_s=BOUND_S):
    """Exit codes of two processes that work on one thing."""
    context, port = multiprocessing.get_context("spawn"), free_port()
    workers = [context.Process(target=target, args=(rank, port, *arguments)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(bound_s)
        if worker.is_alive():
            worker.kill()
            worker.join()
            raise AssertionError("a process waits for ever")
    return [worker.exitcode for worker in workers]


def parameters(folder):
    held, _ = load_tensors(folder / "checkpoint.safetensors")
    return {
        k: v for k, v in held.items() if "running_" not in k and "num_batches" not in k
    }  # batch statistics move once a batch alone, once a step in a team


def test_two_processes_equal_one_with_the_same_global_batch(tmp_path):
    """Two processes with one batch a step; one process with two batches a step."""
    stage = JOINT | {"steps": 2}
    codes = together(train_in_a_team, config(stage), tmp_path / "team")
    alone = Trainer(
        config(stage | {"accumulate": 2}), replace(data(), monitor=None), tmp_path / "alone"
    )
    alone.run()

    assert codes == [0, 0]
    assert alone.progress.samples == 2 * 4 * 2
    team, single = parameters(tmp_path / "team"), parameters(tmp_path / "alone")
    assert team.keys() == single.keys()
    for name, value in single.items():
        torch.testing.assert_close(team[name], value, rtol=1e-3, atol=2e-5, msg=name)


def test_an_accumulated_step_reads_what_two_steps_read(tmp_path):
    """Nothing is learnt in between, so its loss is the mean of theirs."""
    still = COARSE | {"learning_rate": 0.0}

    def losses(stage, steps):
        trainer = Trainer(config(stage), data(), tmp_path)
        plan = trainer.config.stages[0]
        mixture = mixture_of(trainer.data, plan, trainer.config)
        made = prefetch(mixture, seed=0, first=0)
        optimizer = torch.optim.SGD([{"params": trainer.trainee.parameters(), "factor": 1.0}])
        found = [trainer._step(made, plan, optimizer) for _ in range(steps)]
        made.close()  # type: ignore[attr-defined]
        return found

    assert losses(still | {"accumulate": 2}, 1)[0] == pytest.approx(sum(losses(still, 2)) / 2)


@pytest.mark.parametrize("stage", [COARSE, DIFFUSION, JOINT], ids=lambda s: s["name"])
def test_computing_activations_again_changes_nothing(tmp_path, stage):
    plain = Trainer(config(stage), data(), tmp_path / "plain")
    lean = Trainer(config(stage | {"checkpoint_activations": True}), data(), tmp_path / "lean")

    plain.run()
    lean.run()

    for name, value in tensors(plain).items():
        torch.testing.assert_close(tensors(lean)[name], value, rtol=1e-4, atol=1e-6, msg=name)


def die(rank, port, plan, folder):
    torch.set_num_threads(1)
    with join(rank, port) as team:
        trainer = Trainer(plan, replace(data(), monitor=None), folder, team=team)
        take_step = trainer._step

        def step(*arguments):
            if rank == 1 and trainer.progress.step == 2:
                os._exit(9)
            return take_step(*arguments)

        trainer._step = step  # type: ignore[method-assign]
        try:
            trainer.run()
        except DiffPoseError as error:
            (folder / "error.txt").write_text(str(error))
            os._exit(3)


def test_a_killed_process_stops_the_others_and_the_run_goes_on_from_its_checkpoint(tmp_path):
    plan = config(COARSE | {"steps": 4}, checkpoint_seconds=0.0)

    codes = together(die, plan, tmp_path)

    assert codes == [3, 9]
    assert "run the same command again" in (tmp_path / "error.txt").read_text()
    resumed = Trainer(plan, replace(data(), monitor=None), tmp_path)
    resumed.run()
    assert resumed.progress.step == 4
    assert all(torch.isfinite(value).all() for value in tensors(resumed).values())


def break_the_loss(rank, port, plan, folder):
    torch.set_num_threads(1)
    from diffpose.training import loop

    with join(rank, port) as team:
        trainer = Trainer(plan, replace(data(), monitor=None), folder, team=team)
        right = loop.LOSSES["coarse"]
        if rank == 1:
            loop.LOSSES["coarse"] = lambda *arguments: right(*arguments) * float("nan")
        try:
            trainer.run()
        except DiffPoseError as error:
            (folder / f"error-{rank}.txt").write_text(str(error))


def test_no_number_in_one_process_stops_all(tmp_path):
    assert together(break_the_loss, config(COARSE), tmp_path) == [0, 0]

    for rank in range(2):
        assert "learning_rate" in (tmp_path / f"error-{rank}.txt").read_text()


def test_a_full_disk_is_named_and_the_checkpoint_before_it_stands(tmp_path, monkeypatch):
    plan = config(COARSE | {"steps": 5}, checkpoint_seconds=0.0)
    save, written = state.save_tensors, []

    def full(path, *arguments):
        written.append(path)
        if len(written) > 2:
            monkeypatch.setattr("diffpose.tensorfile.save_file", no_space)
        save(path, *arguments)

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save_tensors", full)
    with pytest.raises(WeightsError, match=r"No space left.*Free some space"):
        Trainer(plan, data(), tmp_path).run()
    monkeypatch.undo()

    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.safetensors"]
    resumed = Trainer(plan, data(), tmp_path)
    assert state.load_progress(resumed.checkpoint).step == 2
    resumed.run()
    assert resumed.progress.step == 5


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_who_makes_them(workers):
    plan = config(COARSE)
    mixture = mixture_of(data(), plan.stages[0], plan)

    made = prefetch(mixture, seed=3, first=1, stride=2, workers=workers)
    found = [next(made) for _ in range(5)]
    made.close()  # type: ignore[attr-defined]

    for position, batch in enumerate(found):
        expected = batches.make_batch(mixture, seed=3, index=1 + 2 * position)
        assert torch.equal(batch.crops, expected.crops)
        assert torch.equal(batch.keypoints.nan_to_num(-1), expected.keypoints.nan_to_num(-1))
    for child in multiprocessing.active_children():  # closed: nobody works on
        child.join(5)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_what_goes_wrong_while_making_batches_reaches_the_trainer(workers, monkeypatch):
    def broken(*_, **__):
        raise FormatError("Cannot read the picture 7.jpg; copy it anew.")

    plan = config(COARSE)
    mixture = mixture_of(data(), plan.stages[0], plan)
    monkeypatch.setattr(batches, "make_batch", broken)

    with pytest.raises(FormatError, match=r"7\.jpg"):
        next(prefetch(mixture, seed=0, first=0, workers=workers))


def test_each_process_of_a_machine_has_its_own_gpu():
    assert Team(rank=5, size=8, local_rank=1).device("cuda") == "cuda:1"
    assert Team(rank=5, size=8, local_rank=1).device("cpu") == "cpu"
    assert Team().device("cuda") == "cuda"


@pytest.mark.parametrize("values", [{"accumulate": 0}, {"batch_size": 0}])
def test_a_step_needs_windows(values):
    with pytest.raises(SettingsError, match="at least 1"):
        parse_training_config({"stages": [COARSE | values]})
