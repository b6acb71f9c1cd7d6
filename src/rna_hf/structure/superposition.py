"""The rotation that lays one set of points on another: the only place that works it out."""

import numpy as np


def best_rotations(covariances: np.ndarray) -> np.ndarray:
    """Find the proper rotations R that maximise tr(R H), for H = sum of w p q^T: R p lies nearest to q.

    Kabsch, Acta Cryst. A32:922 (1976) and A34:827 (1978). Never a reflection, for collinear and planar points neither.

    Args:
        covariances: (..., 3, 3), H of points p and q about their centres.

    Returns:
        (..., 3, 3), each of determinant 1.
    """
    left, _, right = np.linalg.svd(covariances)
    # Where the best orthogonal matrix is a reflection, the best rotation turns the sign of the smallest singular
    # value, which comes last (Kabsch 1978). The determinant of the product is right for singular H as well.
    left[..., :, 2] *= np.sign(np.linalg.det(left @ right))[..., None]
    return np.swapaxes(left @ right, -1, -2)
