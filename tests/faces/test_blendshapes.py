import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend import checks
from neurend.faces import blendshapes
from neurend.faces.blendshapes import FaceModel


def small(rng: np.random.Generator, *, v: int = 7, i: int = 2, e: int = 3) -> FaceModel:
    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    return FaceModel(
        template=draw(v, 3),
        identity=draw(i, v, 3),
        expressions=draw(e, v, 3),
        faces=np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6]], np.int32),
        landmarks=np.array([2, 5], np.int32),
        colors=np.full((v, 3), 0.5, np.float32),
        color_modes=0.01 * draw(1, v, 3),
        masks={'mouth': np.arange(v, dtype=np.float32) / v},
        names=('jawOpen', 'mouthSmile_L', 'mouthSmile_R')[:e],
    )


def test_vertices_are_the_template_and_coefficients_times_modes():
    rng = np.random.default_rng(0)
    model = small(rng)
    identity, expressions = rng.normal(size=(4, 1, 2)), rng.normal(size=(5, 3))
    truth = model.template.astype(float) + sum(identity[..., k, None, None] * model.identity[k] for k in range(2))
    truth = truth + sum(expressions[..., k, None, None] * model.expressions[k] for k in range(3))
    points = blendshapes.vertices(model, jnp.asarray(identity), jnp.asarray(expressions))
    np.testing.assert_allclose(points, truth, atol=1e-5)
    np.testing.assert_array_equal(blendshapes.vertices(model), model.template)
    np.testing.assert_array_equal(blendshapes.vertices(model, np.zeros(2), np.zeros(3)), model.template)


def test_it_is_a_function_of_arrays():
    model = small(np.random.default_rng(1))
    jitted, mapped = jax.jit(blendshapes.vertices), jax.vmap(blendshapes.vertices, (None, 0, 0))
    identity, expressions = jnp.ones((4, 2)), jnp.arange(12.0).reshape(4, 3)
    direct = blendshapes.vertices(model, identity, expressions)
    np.testing.assert_allclose(mapped(model, identity, expressions), direct, atol=1e-5)
    np.testing.assert_allclose(jitted(model, identity, expressions), direct, atol=1e-5)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x, x.dtype)), model)
        wide = wide.replace(
            **{k: jnp.asarray(getattr(model, k), float) for k in ('template', 'identity', 'expressions')}
        )

        def marks(identity, expressions):
            return blendshapes.landmark_points(model, blendshapes.vertices(wide, identity, expressions))

        check_grads(marks, (jnp.ones(2, float), jnp.ones(3, float)), order=1)


def test_landmarks_are_vertices_or_mixtures_of_three():
    model = small(np.random.default_rng(2))
    points = jnp.asarray(np.random.default_rng(3).normal(size=(4, 7, 3)), jnp.float32)
    np.testing.assert_array_equal(blendshapes.landmark_points(model, points), points[:, [2, 5]])
    weights = np.array([[0.2, 0.3, 0.5]], np.float32)
    mixed = model.replace(landmarks=np.array([[1, 4, 6]]), landmark_weights=weights)
    truth = 0.2 * points[:, 1] + 0.3 * points[:, 4] + 0.5 * points[:, 6]
    np.testing.assert_allclose(blendshapes.landmark_points(mixed, points)[:, 0], truth, atol=1e-6)


def test_a_person_has_no_identity_left_and_the_same_expressions():
    model = small(np.random.default_rng(4))
    one = blendshapes.person(model, jnp.array([0.5, -1.0]))
    expected = blendshapes.vertices(model, jnp.array([0.5, -1.0]), jnp.ones(3))
    np.testing.assert_allclose(blendshapes.vertices(one, jnp.zeros(0), jnp.ones(3)), expected, atol=1e-6)


def test_expressions_are_chosen_by_name():
    model = small(np.random.default_rng(5))
    chosen = blendshapes.choose(model, ['mouthSmile_R', 'jawOpen'])
    np.testing.assert_array_equal(chosen.expressions, model.expressions[[2, 0]])
    assert blendshapes.coefficients(chosen.names, {'jawOpen': 0.7}).tolist() == pytest.approx([0, 0.7])
    with pytest.raises(checks.InputError, match='tongueOut are unknown, expected some of jawOpen'):
        blendshapes.coefficients(model.names, {'tongueOut': 1.0})


def test_reach_is_one_where_most_moves():
    model = small(np.random.default_rng(6))
    reach = blendshapes.reach(model, ['jawOpen'])
    way = np.linalg.norm(model.expressions[0], axis=-1)
    np.testing.assert_allclose(reach, way / way.max(), rtol=1e-6)


def test_a_subset_moves_as_the_whole_does():
    model = small(np.random.default_rng(7))
    source = np.array([5, 2, 1, 0, 2])
    part = blendshapes.check(blendshapes.subset(model, source))
    assert part.faces.tolist() == [[3, 2, 1]]
    assert part.landmarks.tolist() == [1, 0]
    coefficients = jnp.array([1.0, -2]), jnp.array([0.3, 0.5, 1])
    whole = blendshapes.vertices(model, *coefficients)
    np.testing.assert_allclose(blendshapes.vertices(part, *coefficients), whole[source], atol=1e-6)
    np.testing.assert_array_equal(part.masks['mouth'], model.masks['mouth'][source])
    with pytest.raises(checks.InputError, match='lacks 1 of the vertices that landmarks lie on'):
        blendshapes.subset(model, np.array([0, 1, 2]))


def test_seams_are_split_into_one_uv_per_vertex():
    model = small(np.random.default_rng(8))
    uvs, uv_faces = np.random.default_rng(9).random((8, 2)), np.array([[0, 1, 2], [3, 1, 4], [5, 6, 7]])
    split = blendshapes.check(blendshapes.split_seams(model, uvs, uv_faces))
    assert len(split.template) == 8  # vertex 2 has two UVs
    np.testing.assert_allclose(split.uvs[split.faces], uvs[uv_faces], rtol=1e-6)
    np.testing.assert_array_equal(split.template[split.faces], model.template[model.faces])


def test_colours_are_clipped_sums():
    model = small(np.random.default_rng(10))
    shades = blendshapes.colors(model, jnp.array([[100.0], [0.0]]))
    assert shades.shape == (2, 7, 3)
    np.testing.assert_array_equal(shades[1], model.colors)
    np.testing.assert_allclose(shades[0], np.clip(0.5 + 100 * model.color_modes[0], 0, 1), atol=1e-5)
    with pytest.raises(checks.InputError, match='has no colours'):
        blendshapes.colors(model.replace(colors=None))


def test_coefficients_of_another_model_are_refused():
    model = small(np.random.default_rng(11))
    with pytest.raises(checks.InputError, match=r'expressions: got shape \(53,\), expected \(..., 3\). They belong'):
        blendshapes.vertices(model, expressions=jnp.zeros(53))
    with pytest.raises(checks.InputError, match=r'identity: got shape \(5,\), expected \(..., 2\)'):
        blendshapes.vertices(model, jnp.zeros(5))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'expressions': np.zeros((3, 6, 3))}, r'expressions of face model: got shape \(3, 6, 3\)'),
        ({'faces': np.array([[0, 1, 7]])}, 'faces of face model: expected whole numbers from 0 to 6'),
        ({'landmarks': np.array([-1])}, 'landmarks of face model: expected whole numbers'),
        ({'names': ('jawOpen',)}, 'got 1 names for 3 expressions'),
        ({'template': np.full((7, 3), np.nan)}, 'not finite'),
    ],
)
def test_what_does_not_fit_is_said(change, message):
    with pytest.raises(checks.InputError, match=message):
        blendshapes.check(small(np.random.default_rng(12)).replace(**change))
