"""Turning a picture of any size and colour into one like those of the dataset.

Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017, section 2 (https://arxiv.org/abs/1708.07747), made
theirs of a shop's photographs: edges trimmed, the longest edge brought to 28 pixels, sharpened,
centred, negated, converted to grey. The same is done here, with two changes for pictures that were
not taken in the shop's studio. Each new pixel is the average of its area, where they kept one pixel
of it; and the background's shade, whichever it is, becomes the black that it is in the dataset.
"""

import itertools
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from pipeline.core.errors import PipelineError
from pipeline.data.dataset import IMAGE_SIZE

FORMATS = ("PNG", "JPEG", "WEBP")
# How far an edge may be from the background's colour to be trimmed: the paper's 5 %.
TRIM_TOLERANCE = 0.05 * 255
LIGHT = 127.5  # a background above this is light


def read(path: Path) -> NDArray[np.uint8]:
    """Return the picture in a file as uint8 `[28, 28]`, the garment light on black.

    A picture of 28 by 28 pixels is taken for one that was made so already: it is negated where its
    background is light, and otherwise left as it is.

    Raises:
        PipelineError: the file is missing, or is no whole picture of a format and size allowed.
    """
    picture = _decode(path)
    grey = picture.convert("L")
    (background,) = _background(grey)
    if grey.size == (IMAGE_SIZE, IMAGE_SIZE):
        pixels = np.asarray(grey)
        return 255 - pixels if background > LIGHT else pixels
    outline = _outline(picture)
    if outline is None:
        raise PipelineError(f"{path} shows nothing but its background")
    garment = _sharpen(_level(_shrink(grey.crop(outline)), background))
    return _centre(garment.round().clip(0, 255).astype(np.uint8))


def _decode(path: Path) -> Image.Image:
    """Return the picture (the first, of several) upright, in RGB, nowhere transparent.

    A cut-out is laid on white, as a shop would show it, and on black only where it is all white.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
            what = "a folder" if path.is_dir() else "not a regular file"
            raise PipelineError(f"{path} is {what}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # faulty metadata that nobody needs here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                ImageOps.exif_transpose(image, in_place=True)  # loads it, too
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing") from None
    except UnidentifiedImageError:
        raise PipelineError(f"{path} is no PNG, JPEG or WebP picture") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PipelineError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, which are the most allowed"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise PipelineError(f"{path} cannot be read: {error}") from None
    if image.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    on_white = _laid_on("white", image)
    return on_white if _outline(on_white) else _laid_on("black", image)


def _eight_bits(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Scale greys of 8, 10, 12, 14 or 16 bits, whichever the brightest needs, to 8."""
    bits = max(8, int(pixels.max()).bit_length() + 1 & ~1)
    scaled: NDArray[np.float64] = np.round(pixels * (255 / (2**bits - 1)))
    return scaled.astype(np.uint8)


def _laid_on(colour: str, image: Image.Image) -> Image.Image:
    background = Image.new("RGBA", image.size, colour)
    background.alpha_composite(image.convert("RGBA"))
    return background.convert("RGB")


def _background(image: Image.Image) -> NDArray[np.float64]:
    """Return the median of the four corners, float64 `[channels]`.

    Of the 70,000 images of the dataset, all with a black background, the highest is 51.5: garments
    reach into corners, but seldom into three.
    """
    corners = itertools.product((0, image.width - 1), (0, image.height - 1))
    values = np.array([image.getpixel(corner) for corner in corners], np.float64)
    return np.median(values.reshape(4, -1), axis=0)


def _outline(picture: Image.Image) -> tuple[int, int, int, int] | None:
    """Return the box around all that is not background; None where there is nothing else."""
    away = [
        255 * (abs(value - background) > TRIM_TOLERANCE)
        for background in _background(picture)
        for value in range(256)
    ]
    return picture.point(away).getbbox()


def _shrink(grey: Image.Image) -> NDArray[np.float64]:
    """Bring the longest edge to 28 pixels, averaging over each new pixel's area."""
    scale = IMAGE_SIZE / max(grey.size)
    width, height = (max(1, round(edge * scale)) for edge in grey.size)
    return np.asarray(grey.resize((width, height), Image.Resampling.BOX), np.float64)


def _sharpen(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sharpen with a Gaussian of radius and standard deviation 1, as the paper says.

    The kernel is that of ImageMagick's `-sharpen 1x1`, whose words the paper uses: the Gaussian's
    negative, with twice its sum in the middle, scaled to keep an even area as it is.
    """
    gaussian = np.exp(-(np.arange(-1, 2) ** 2) / 2)
    kernel = -np.outer(gaussian, gaussian)
    kernel[1, 1] = -2 * kernel.sum()
    return ndimage.convolve(pixels, kernel / kernel.sum(), mode="nearest")


def _level(pixels: NDArray[np.float64], background: float) -> NDArray[np.float64]:
    """Return how far the greys are from the background, the farthest that could be as 255."""
    return 255 * abs(pixels - background) / max(background, 255 - background)


def _centre(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    margins = [IMAGE_SIZE - edge for edge in pixels.shape]
    return np.pad(pixels, [(margin // 2, margin - margin // 2) for margin in margins])
