import json

import pytest

from neurend.checks import InputError
from neurend.train.metrics import Writer, progress


def lines(folder):
    return [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]


def test_lines_after_the_step_resumed_from_are_dropped(tmp_path):
    writer = Writer(tmp_path, start=0, tensorboard=False)
    for step in (10, 20, 30):
        writer.write(step, 'train', {'loss': step / 10})
    writer.close()
    with open(tmp_path / 'metrics.jsonl', 'a', encoding='utf-8') as file:
        file.write('{"step": 15, "los')  # its writer was killed
    writer = Writer(tmp_path, start=20, tensorboard=False)
    writer.write(30, 'evaluation', {'psnr': float('nan')})
    writer.close()
    assert [(line['step'], line['kind']) for line in lines(tmp_path)] == [
        (10, 'train'), (20, 'train'), (30, 'evaluation'),
    ]  # fmt: skip
    assert lines(tmp_path)[1]['loss'] == 2 and lines(tmp_path)[2]['psnr'] is None


def test_an_unwritable_file(tmp_path):
    (tmp_path / 'metrics.jsonl').mkdir()
    with pytest.raises(InputError, match=r'metrics.jsonl: cannot be written'):
        Writer(tmp_path, start=0)


@pytest.mark.parametrize(('rate', 'left'), [(2.0, '32:30'), (0.5, '2:10:00')])
def test_time_left(rate, left):
    assert f'  {left} left  loss 1' in progress(100, 4000, rate=rate, numbers={'loss': 1.0}, main='psnr')
