"""The one training loop."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from neurend import trees
from neurend.checks import InputError
from neurend.models.method import Method
from neurend.models.state import State
from neurend.train import diagnosis, lock, report
from neurend.train import mesh as meshes
from neurend.train.checkpoints import Checkpoints
from neurend.train.metrics import Writer, progress, show
from neurend.train.preemption import Preemption
from neurend.train.runner import Runner
from neurend.train.schedule import Schedule
from neurend.train.session import Session
from neurend.typing import Source

T = TypeVar('T')


def fit(
    method: Method,
    source: Source,
    *,
    workdir: str | os.PathLike[str],
    steps: int,
    seed: int = 0,
    evaluation: Sequence[Any] = (),
    fused_steps: int | None = None,
    log_every: int = 100,
    evaluate_every: int = 0,
    checkpoint_every: int = 1000,
    keep: int = 3,
    devices: Sequence[Any] | None = None,
    shard_above: int | None = None,
    num_pictures: int = 4,
    main_metric: str = 'psnr',
    tensorboard: bool = True,
) -> State:
    """Trains a method, or goes on where an earlier call with the same `workdir` stopped.

    The run is a function of (seed, step): randomness of a step comes from `fold_in(key, step)`, and host batches from
    an iterator whose state is in every checkpoint. A resumed run therefore ends with the very bits of one that was not
    interrupted on the same devices. SIGTERM saves a checkpoint and exits with code 0.

    In `workdir`: `checkpoints/`; `metrics.jsonl` (see `neurend.train.metrics.Writer`; a line of kind 'train' has the
    means over the steps since the line before, 'steps_per_second', and 'train_seconds', the time in steps since the
    start of the run without compiling, evaluating and saving); `tensorboard/`; `pictures/step_00001000/0_name.png`;
    and `lock`.

    Args:
        method: what to train.
        source: where batches come from, the same on all processes.
        workdir: made if needed.
        steps: where to stop, counted from the start of the run, not of this call.
        seed: of all randomness.
        evaluation: examples, each handed to `method.evaluate`; see `neurend.train.report`.
        fused_steps: greatest number of steps in one call of the compiled program; None chooses (see `Runner`).
        log_every: see `Schedule`, as the next two.
        evaluate_every: 0 evaluates at the end.
        checkpoint_every: 0 saves at the end, or when stopped.
        keep: number of checkpoints that stay.
        devices: to train on; all if None.
        shard_above: leaves of more bytes are sharded over the devices, see `mesh.state_shardings`; None for none.
        num_pictures: number of examples whose pictures are written.
        main_metric: shown beside the loss.
        tensorboard: also write for TensorBoard, where tensorboardX is installed.

    Returns:
        The state after the last step, placed on the devices.

    Raises:
        InputError: another run holds the workdir, it cannot be written, its run had another seed or method, an option
            is out of range, or a checkpoint could not be written.
        diagnosis.NonFiniteError: the loss, or a parameter to be saved, was not finite.
        SystemExit: code 0, after SIGTERM.
        KeyboardInterrupt: after Ctrl-C, when the checkpoint is written.

    Example:
        state = fit(nerf.classic(...), source, workdir='out/chair', steps=20_000, evaluation=test_views)
    """
    schedule = Schedule(steps, log_every, evaluate_every, checkpoint_every, tuple(method.update_steps))
    if (source.draw is None) == (source.iterator is None):
        raise InputError('source: got neither or both of draw and iterator, expected one of them')
    if fused_steps is not None and fused_steps < 1:
        raise InputError(f'fused_steps: got {fused_steps}, expected at least 1, or None')
    folder = Path(workdir).absolute()
    with contextlib.ExitStack() as stack:
        _on_first(lambda: report.make(folder))
        _on_first(lambda: stack.enter_context(lock.hold(folder)))
        mesh = meshes.make(devices)
        preemption = stack.enter_context(Preemption())
        checkpoints = stack.enter_context(contextlib.closing(Checkpoints(folder / 'checkpoints', keep=keep)))

        def shardings(tree):
            return meshes.state_shardings(tree, mesh, shard_above=shard_above)

        init_key, run_key = jax.random.split(jax.random.key(seed))
        runner = Runner(
            method, source, key=run_key, mesh=mesh, fused_steps=fused_steps, shardings=shardings, say=_say
        )  # fmt: skip
        session = stack.enter_context(contextlib.closing(Session(method, source, runner, schedule)))
        fresh_iterator = None if source.iterator is None else source.iterator.get_state()

        def begin(*, longest: int | None = None) -> dict[str, Any]:
            """Takes up the run at the newest good checkpoint, or at its start; returns the checkpoint's notes."""
            restored = checkpoints.restore(jax.eval_shape(method.init, init_key), shardings)
            if restored is None:
                session.begin(runner.init(init_key), fresh_iterator, longest=longest)
                return {'seed': seed, 'seconds': 0.0}
            session.begin(restored.state, restored.iterator, longest=longest)
            return restored.notes

        notes = begin()
        if notes['seed'] != seed:
            raise InputError(
                f'workdir {folder}: holds a run with seed {notes["seed"]}, got seed {seed}; choose another'
            )
        start, earlier = session.step, float(notes['seconds'])
        begun = (folder / 'metrics.jsonl').is_file()
        _greet(session.state, mesh, start, steps, begun)
        if start >= steps:
            return session.state
        writer = _on_first(lambda: Writer(folder, start=start, tensorboard=tensorboard))
        if writer is not None:
            stack.callback(writer.close)
        saved = start
        rate_from = (start, 0.0)

        def fail(step: int, terms: dict[str, float]) -> diagnosis.NonFiniteError:
            with contextlib.suppress(InputError):  # the news is the loss, not the disk
                checkpoints.wait()
            good = checkpoints.latest()
            name = None if good is None else f'step {good} in {checkpoints.folder}'
            return diagnosis.describe(step, terms, _again(session, begin, step), name)

        while session.step < steps:
            session.advance()
            step = session.step
            stop = preemption.requested(together=schedule.logs(step)) and step < steps
            saves = stop or schedule.checkpoints(step)
            if not (saves or schedule.logs(step) or schedule.evaluates(step) or schedule.updates(step)):
                continue
            totals = session.settle()
            if totals.bad_step >= 0:
                raise fail(int(totals.bad_step), {name: float(value) for name, value in totals.bad.items()})
            means = {name: float(value) / int(totals.count) for name, value in totals.sums.items()}
            if schedule.logs(step) or stop:
                session.forget()
                rate = (step - rate_from[0]) / max(session.seconds - rate_from[1], 1e-9)
                rate_from = (step, session.seconds)
                timing = {'steps_per_second': rate, 'train_seconds': earlier + session.seconds}
                if writer is not None:
                    writer.write(step, 'train', means | timing)
                    show(progress(step, steps, rate=rate, numbers=means, main=main_metric), last=step == steps)
            if saves or schedule.updates(step):
                if not diagnosis.finite(session.state.params):
                    raise fail(step, means)
            session.update()
            if saves and step > saved:
                record = {'seed': seed, 'seconds': earlier + session.seconds}
                checkpoints.save(session.state, iterator=session.iterator_state, notes=record)
                saved = step
            if stop:
                checkpoints.wait()
                by = 'Ctrl-C' if preemption.interrupted else 'SIGTERM'
                _say(f'stopped by {by}; step {step} of {steps} is saved in {folder}; start again to go on')
                raise KeyboardInterrupt if preemption.interrupted else SystemExit(0)
            if evaluation and schedule.evaluates(step):
                whole = meshes.local(session.state, mesh)
                if writer is not None:  # the other processes wait in the next step
                    _evaluate(method, whole, evaluation, folder, step, writer, num_pictures)
        checkpoints.wait()
        return session.state


def _again(session: Session, begin: Callable[..., Any], step: int) -> Iterator[tuple[int, State]]:
    """Runs the steps since the last checkpoint again, one by one."""
    begin(longest=1)
    _say(f'step {step} is not finite; running again from step {session.step} to find where it began')
    while session.step < step:
        session.advance()
        yield session.step, session.state
        session.update()


def _evaluate(method, state, examples, folder, step, writer, num_pictures) -> None:
    pictures = folder / 'pictures' / f'step_{step:08d}'
    numbers, images = report.evaluate(method, state, examples, folder=pictures, num_pictures=num_pictures)
    writer.write(step, 'evaluation', numbers)
    for name, image in images.items():
        writer.picture(step, name, image)
    shown = '  '.join(f'{name} {value:.4g}' for name, value in numbers.items())
    _say(f'evaluation after step {step}, {len(examples)} examples: {shown}')


def _greet(state: State, mesh: jax.sharding.Mesh, start: int, steps: int, begun: bool) -> None:
    if start >= steps:
        _say(f'the run has {start} steps already, {steps} were asked for: nothing to do')
        return
    size = trees.size_bytes(state) / 2**20
    devices = f'{mesh.devices.size} x {mesh.devices.flat[0].device_kind}, {jax.process_count()} process(es)'
    _say(f'training on {devices}: {trees.count(state.params):,} parameters, state of {size:.1f} MiB')
    if start:
        _say(f'resuming after step {start}')
    elif begun:
        _say('an earlier run here left no checkpoint: starting at step 0')


def _on_first(action: Callable[[], T]) -> T | None:
    """What `action` gives on the first process, None on the others; where it fails, all fail."""
    error = result = None
    if jax.process_index() == 0:
        try:
            result = action()
        except InputError as raised:
            error = raised
    if jax.process_count() > 1:
        failed = multihost_utils.broadcast_one_to_all(np.asarray(error is not None))
        if failed and error is None:
            error = InputError('process 0 could not start; its message says why')
    if error is not None:
        raise error
    return result


def _say(message: str) -> None:
    if jax.process_index() == 0:
        print(message, flush=True)
