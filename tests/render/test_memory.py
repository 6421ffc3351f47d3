import subprocess
import sys

import pytest

PROGRAM = """
import threading, time
import jax, jax.numpy as jnp
from neurend.geometry import cameras
from neurend.render import tiled
from neurend.render.rendering import Rendering

def resident_mb():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6

def render(weights, rays):
    hidden = jax.nn.relu(rays.viewdirs @ weights)  # 120 kB a ray
    return Rendering(rgb=hidden @ weights.T, alpha=rays.viewdirs[:, 0], depth=rays.viewdirs[:, 1])

weights = jax.block_until_ready(jax.random.normal(jax.random.key(0), (3, 30_000)))
camera = cameras.make(jnp.eye(4), 320.0, size=(320, 320))
before, peak, done = resident_mb(), 0.0, False

def watch():
    global peak
    while not done:
        peak = max(peak, resident_mb())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
image = tiled.Tiler(render, memory_mb=1500)(weights, camera)
done = True
watcher.join()
assert image.rgb.shape == (320, 320, 3)
print(peak - before)
"""


@pytest.mark.slow
def test_an_image_that_would_take_12_gb_stays_under_1500_mb():
    result = subprocess.run([sys.executable, '-c', PROGRAM], capture_output=True, text=True, check=True)
    growth = float(result.stdout)
    # The budget is used, and kept.
    assert 500 < growth < 1500
