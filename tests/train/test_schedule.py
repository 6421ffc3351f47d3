import pytest

from neurend.checks import InputError
from neurend.train.schedule import Schedule


def test_chunks_end_at_every_boundary_and_cover_the_run():
    schedule = Schedule(steps=53, log_every=10, evaluate_every=25, checkpoint_every=20, update_steps=(7, 31))
    ends = []
    for start in (0, 13):
        step = start
        for count in schedule.chunks(start, longest=6):
            assert 1 <= count <= 6
            step += count
            ends.append(step)
        assert step == 53
    assert {7, 10, 20, 25, 30, 31, 40, 50, 53} <= set(ends)


def test_the_end_does_all_of_it():
    schedule = Schedule(steps=53, log_every=10)
    assert schedule.logs(53) and schedule.evaluates(53) and schedule.checkpoints(53)
    assert not (schedule.evaluates(50) or schedule.checkpoints(50)) and schedule.logs(50)


@pytest.mark.parametrize(
    'options', [{'steps': 0}, {'log_every': 0}, {'checkpoint_every': -1}, {'update_steps': (0, 5)}]
)
def test_bad_numbers(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Schedule(**({'steps': 10, 'log_every': 5} | options))
