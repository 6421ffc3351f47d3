"""Albedo and light of a known mesh, learned from pictures that were traced by other means."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.data import photographs
from neurend.geometry import paths
from neurend.images import io
from neurend.models.appearance import AppearanceConfig, appearance
from neurend.models.nerf.evaluation import Example
from neurend.render.shade import harmonics
from neurend.scenes import mesh_files, primitives
from neurend.train.step import stepper
from tests.oracles import ring
from tests.oracles.ring import RING, SIZE


def albedo(u, v):
    """Patches in two colours with soft borders."""
    blend = 1 / (1 + np.exp(-8 * np.sin(4 * np.pi * u) * np.sin(2 * np.pi * v)))
    return blend[..., None] * np.array([0.7, 0.5, 0.2]) + (1 - blend[..., None]) * np.array([0.15, 0.3, 0.6])


def morning(n):
    """Irradiance over pi; degree 2 describes it exactly."""
    x, y, z = np.moveaxis(n, -1, 0)
    return 0.75 * np.stack([1 + 0.5 * z + 0.2 * x * z, 0.9 + 0.4 * z + 0.2 * y, 0.8 + 0.2 * z - 0.3 * x], axis=-1)


def evening(n):
    x, y, z = np.moveaxis(n, -1, 0)
    return np.stack([0.8 + 0.6 * x, 0.6 + 0.4 * x - 0.2 * z, 0.5 - 0.3 * y + 0.2 * (x * x - y * y)], axis=-1)


def views(poses, light):
    return ring.views(poses, lambda u, v, n, _: albedo(u, v) * light(n))


@pytest.fixture(scope='module')
def learned():
    way = [paths.orbit(6, radius=3.5, elevation=e, start=s) for e, s in ((0.9, 0.0), (0.1, 0.3), (-0.7, 0.6))]
    train = views(jnp.concatenate(way), morning)
    config = AppearanceConfig(texture=64, levels=4, smoothness=4e-3)
    mesh = primitives.torus(RING.major, RING.minor, around=96, across=48)
    optimizer = optax.adam(optax.exponential_decay(0.05, 200, 0.1))
    method = appearance(config, mesh, size=(SIZE, SIZE), stepper=stepper(optimizer))
    source = photographs.photograph_source(train, views=2)

    @jax.jit
    def run(state):
        def body(state, key):
            draw_key, step_key = jax.random.split(key)
            return method.step(step_key, state, source.draw(draw_key, source.data))

        return jax.lax.scan(body, state, jax.random.split(jax.random.key(0), 200))[0]

    return method, run(method.init(jax.random.key(0)))


def held_out(light):
    return views(paths.orbit(3, radius=3.5, elevation=0.5, start=0.2), light)


def psnr(method, state, scene):
    found = [
        method.evaluate(state, Example(scene.names[k], scene.camera(k), scene.images[k]))[0]['psnr']
        for k in range(len(scene))
    ]
    return float(np.mean(found))


def relit(state):
    """The state in evening light. Albedo and light are known up to a factor for each channel, which goes with it."""
    normals = np.random.default_rng(0).normal(size=(500, 3))
    normals = (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)
    found = np.asarray(harmonics.irradiance(state.params['light'], jnp.asarray(normals))) / np.pi
    factor = (found * morning(normals)).sum(0) / (morning(normals) ** 2).sum(0)
    light = harmonics.fit(jnp.asarray(normals), jnp.asarray(evening(normals) * factor, jnp.float32))
    return state.replace(params={**state.params, 'light': light})


@pytest.mark.slow
def test_held_out_views_are_as_traced(learned):
    method, state = learned
    assert psnr(method, state, held_out(morning)) > 37


@pytest.mark.slow
def test_another_light_shows_the_surface_as_it_would_be(learned):
    """Not what it looks like in the light that it was learned in, but what belongs to the surface alone."""
    method, state = learned
    scene = held_out(evening)
    assert psnr(method, state, scene) < 20
    assert psnr(method, relit(state), scene) > 26


def test_bad_input():
    bare = stepper(optax.sgd(0.1))
    ring = primitives.torus(around=3, across=3)
    with pytest.raises(InputError, match='unwrap'):
        appearance(AppearanceConfig(), primitives.box(), size=(8, 8), stepper=bare)
    with pytest.raises(InputError, match='expected a side that can be halved'):
        appearance(AppearanceConfig(texture=12, levels=4), ring, size=(8, 8), stepper=bare)
    with pytest.raises(InputError, match='a coat to show them'):
        appearance(AppearanceConfig(lamps=2), ring, size=(8, 8), stepper=bare)
    scene = views(paths.orbit(2, radius=3.5), morning)
    with pytest.raises(InputError, match='expected 1 to 2'):
        photographs.photograph_source(scene, views=3)


@pytest.mark.slow
def test_photographs_of_the_cow(tmp_path, data_root):
    """The textured mesh with fitted light looks like the photographs. By one device, as from a command line."""
    photos, mesh = data_root / 'spot_views', data_root / 'meshes' / 'spot_triangulated.obj'
    if not (photos.is_dir() and mesh.is_file()):
        pytest.skip(f'no {photos} or {mesh}')
    flags = [
        '--flagfile=configs/fit_appearance_spot.flags',
        '--steps=200',
        '--evaluate_every=0',
        '--frames=4',
    ]
    places = [f'--data_dir={photos}', f'--mesh={mesh}', f'--workdir={tmp_path}']
    command = [sys.executable, '-m', 'experiments.fit_appearance', *flags, *places]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / 'evaluation_test' / 'evaluation.json').read_text())
    assert len(table['views']) == 32
    assert table['mean']['psnr'] > 33.5
    for known in table['baselines'].values():
        assert table['mean']['psnr'] > known['psnr'] + 10
    learned = mesh_files.read(tmp_path / 'mesh.glb').materials[0].texture
    np.testing.assert_array_equal(io.to_uint8(learned), io.read(tmp_path / 'texture.png'))
    assert (tmp_path / 'turntable.mp4').stat().st_size > 1000
