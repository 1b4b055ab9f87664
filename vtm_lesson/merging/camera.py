"""Motion relative to the camera: what is left of a frame's motion when the camera's is taken away.

A camera that follows its subject makes the set move and the subject stand still, so that codec motion marks the set.
What a camera does to a picture (pan, tilt, zoom, roll) moves every place by nearly an affine function of the place.
That function is fitted to all vectors of a frame, and what does not follow it moves by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

STILL = 1e-6  # pixels: residuals below it are rounding errors
RIDGE = 1e-9  # of the places' variances, which are near 1/3


@torch.no_grad()
def relative_motion(vectors: Tensor, rounds: int = 15) -> Tensor:
    """How far each patch moves relative to the camera, frame by frame.

    Per frame an affine model (1, x, y) of the vectors is fitted by least squares, over and over: each round a patch
    counts 1 / (1 + (e / m)^2), where e is its residual and m the median of the frame's. So what moves by itself, the
    smaller part of the picture, loses its say about the camera.

    Parameters
    ----------
    vectors : Tensor
        (..., H, W, 2), motion of each patch, x to the right and y down, in any unit.
    rounds : int, optional
        How often the model is fitted.

    Returns
    -------
    Tensor
        (..., H, W) float32, the length of the residual, in the unit of the vectors; on their device.

    Raises
    ------
    ValueError
        For another shape, or rounds below 1.

    Notes
    -----
    Not in the VTM paper, which takes the magnitude of the codec's vectors as they are (eq. 6). No draw, no parameter
    that is learned. Where the camera stands still the model is near zero, and the result near the plain magnitude.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.merging import relative_motion
    >>> vectors = torch.zeros(1, 4, 6, 2)
    >>> vectors[..., 0] = 3.0  # the camera pans: everything moves alike
    >>> vectors[0, 1, 2] = torch.tensor([0.0, 0.0])  # but one patch, which the camera follows
    >>> relative = relative_motion(vectors)
    >>> int(relative[0].argmax()), round(float(relative.max()), 2)
    (8, 3.0)
    """
    if vectors.dim() < 3 or vectors.shape[-1] != 2 or 0 in vectors.shape:
        raise ValueError(f"vectors have shape {tuple(vectors.shape)}; they need (..., H, W, 2), x and y of each patch.")
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; the camera must be fitted at least once.")
    height, width = vectors.shape[-3:-1]
    vx, vy = vectors.double().reshape(-1, height * width, 2).unbind(-1)  # (F, H W)
    row, column = (torch.linspace(-1, 1, n, dtype=vx.dtype, device=vx.device) for n in (height, width))
    y, x = (place.flatten() for place in torch.meshgrid(row, column, indexing="ij"))
    places = torch.stack([x, y, x * x, x * y, y * y], dim=1)  # (H W, 5)
    weight = torch.ones_like(vx)
    squared = vx**2 + vy**2
    for _ in range(rounds):
        weight = weight / weight.sum(1, keepdim=True)
        mx, my, mxx, mxy, myy = (weight @ places).unsqueeze(-1).unbind(1)  # (F, 1) each
        # The slopes solve a 2 x 2 system of covariances. A grid of one row or column has no slope in the other
        # direction: a hair of ridge gives it 0.
        xx, xy, yy = mxx - mx * mx + RIDGE, mxy - mx * my, myy - my * my + RIDGE
        residual = []
        for v in (vx, vy):
            of_v = weight * v
            mean, xv, yv = of_v.sum(1, keepdim=True), (of_v @ x)[:, None], (of_v @ y)[:, None]
            xv, yv = xv - mx * mean, yv - my * mean
            along_x, along_y = yy * xv - xy * yv, xx * yv - xy * xv
            slope = (along_x * (x - mx) + along_y * (y - my)) / (xx * yy - xy * xy)
            residual.append(v - mean - slope)
        squared = residual[0] ** 2 + residual[1] ** 2
        weight = 1 / (1 + squared / squared.median(dim=1, keepdim=True).values.clamp(min=STILL**2))
    return squared.sqrt().float().reshape(vectors.shape[:-1])
