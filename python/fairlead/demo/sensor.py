"""The handwritten digits, and the sensor that reads them: working, and broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAINED = 597  # images the classifiers learn from; the other 1200 are streamed
FAULT_AT = 600  # so many images are streamed before the sensor breaks
DELAY = 5  # what a digit was becomes known so many images later
SIDE = 8  # pixels


def load() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """1797 images of 8 by 8 pixels in [0, 1], and what digit each shows. Raises ImportError without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('the demo needs scikit-learn: pip install "fairlead[demo]"') from error
    pixels, digits = load_digits(return_X_y=True)
    return pixels.reshape(-1, SIDE, SIDE) / pixels.max(), digits


def moved(
    images: NDArray[np.float64], down: int, right: int, noise: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The images, moved by whole pixels and made noisy."""
    import numpy as np

    shifted = np.roll(images, (down, right), axis=(1, 2))
    return (shifted + rng.normal(0.0, noise, images.shape)).clip(0.0, 1.0)


def broken(images: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """What the broken sensor makes of the images: one pixel to the right, and noise."""
    return moved(images, 0, 1, 0.1, rng)


def centred(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Black and white images, each rolled so that the middle of its ink is the middle of the frame."""
    import numpy as np

    ink = np.where(images > 0.3, images, 0.0)
    place = np.arange(SIDE) - (SIDE - 1) / 2
    down, right = (np.round(ink.sum(axis=axis) @ place / ink.sum(axis=(1, 2))).astype(int) for axis in (2, 1))
    rolled = [np.roll(image, (-d, -r), (0, 1)) for image, d, r in zip(images, down, right, strict=True)]
    return np.where(np.stack(rolled) > 0.4, 1.0, 0.0)
