"""Slow float64 definitions of image operations, one pixel and one window at a time."""

import numpy as np


def ssim(a, b, convention):
    """Mean SSIM over channels and windows inside the image, by the sums of Wang et al. 2004, eq. 13 and 14-16."""
    size = {'gaussian': 11, 'uniform': 7}[convention]
    y, x = np.mgrid[:size, :size] - size // 2
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2)) if convention == 'gaussian' else np.ones((size, size))
    window = window / window.sum()
    values = []
    for c in range(a.shape[-1]):
        for top in range(a.shape[0] - size + 1):
            for left in range(a.shape[1] - size + 1):
                p = a[top : top + size, left : left + size, c].astype(np.float64)
                q = b[top : top + size, left : left + size, c].astype(np.float64)
                mp, mq = (window * p).sum(), (window * q).sum()
                if convention == 'gaussian':
                    vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                    cov = (window * (p - mp) * (q - mq)).sum()
                else:
                    (vp, cov), (_, vq) = np.cov(p.ravel(), q.ravel(), ddof=1)
                c1, c2 = 0.01**2, 0.03**2
                values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(values)


def resize(image, width, height):
    """Box filter by supersampling: old and new pixels are both unions of the cells of a common finer grid."""
    h, w = image.shape[:2]
    rows, cols = np.lcm(h, height), np.lcm(w, width)
    fine = np.repeat(np.repeat(image.astype(np.float64), rows // h, axis=0), cols // w, axis=1)
    out = np.zeros((height, width, image.shape[2]))
    for i in range(height):
        for j in range(width):
            dy, dx = rows // height, cols // width
            out[i, j] = fine[i * dy : (i + 1) * dy, j * dx : (j + 1) * dx].mean((0, 1))
    return out


def convolution(x, kernel, bias, stride, padding):
    """2-D cross-correlation of [H W in] with [out in k k] (the layout of PyTorch's weights), then a ReLU."""
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[-1]
    height, width = (x.shape[0] - size) // stride + 1, (x.shape[1] - size) // stride + 1
    out = np.zeros((height, width, kernel.shape[0]))
    for i in range(height):
        for j in range(width):
            patch = x[i * stride : i * stride + size, j * stride : j * stride + size]
            out[i, j] = np.einsum('yxc,ocyx->o', patch, kernel) + bias
    return np.maximum(out, 0)


def max_pool(x, size, stride=2):
    height, width = (x.shape[0] - size) // stride + 1, (x.shape[1] - size) // stride + 1
    return np.stack([
        np.stack([x[i * stride : i * stride + size, j * stride : j * stride + size].max((0, 1)) for j in range(width)])
        for i in range(height)
    ])  # fmt: skip
