"""Linear blend skinning of a FLAME file in float64, joint after joint in 4 x 4 matrices, straight from its arrays."""

import numpy as np
from scipy.spatial.transform import Rotation


def skinned(table: dict, betas: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Vertices [v 3] of coefficients [400] and rotation vectors [5 3].

    Args:
        table: `v_template`, `shapedirs`, `posedirs`, `J_regressor` (whole), `weights`, `kintree_table`, float64.
        betas: of shape, then expression.
        pose: by joint.
    """
    shaped = table['v_template'] + np.tensordot(table['shapedirs'], betas, axes=(2, 0))
    joints = table['J_regressor'] @ shaped
    turns = Rotation.from_rotvec(pose).as_matrix()
    feature = np.concatenate([(turn - np.eye(3)).reshape(-1) for turn in turns[1:]])
    posed = shaped + np.tensordot(table['posedirs'], feature, axes=(2, 0))
    parents = table['kintree_table'][0].astype(int)
    frames = []
    for joint, turn in enumerate(turns):
        local = np.eye(4)
        local[:3, :3] = turn
        local[:3, 3] = joints[joint] - (joints[parents[joint]] if joint else 0)
        frames.append(frames[parents[joint]] @ local if joint else local)
    moved = np.zeros_like(posed)
    for v, place in enumerate(posed):
        for joint, frame in enumerate(frames):
            from_rest = frame.copy()
            from_rest[:3, 3] -= frame[:3, :3] @ joints[joint]
            moved[v] += table['weights'][v, joint] * (from_rest @ np.append(place, 1))[:3]
    return moved
