"""Turning a picture of any size and colour into an image like those of the data set.

There are three ways. `garment` is that of Fashion-MNIST: Xiao, Rasul and Vollgraf, Fashion-MNIST,
2017, section 2 (https://arxiv.org/abs/1708.07747), made their images from photographs of a
shop: edges trimmed, the longest edge brought to 28 pixels, sharpened, centred, negated, converted
to grey. The same is done here, with two changes for pictures that were not taken in the shop's
studio. Each new pixel is the average of its area, where they kept one pixel of it; and the
background's shade, whichever it is, becomes the black that it is in the dataset.

`fit` brings the picture into the image as a whole and pads it with its background: bars of black
would say more of a picture's shape than of what it shows. `crop` fills the image and cuts off what
reaches over its edges, the same on both sides.
"""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION

from pipeline.core.errors import PipelineError, one_line
from pipeline.data.dataset import Description

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
NAMES = "PNG, JPEG, WebP, BMP or TIFF"
# How far an edge may be from the background's colour to be trimmed: the paper's 5 %.
TRIM_TOLERANCE = 0.05 * 255
WHITE_IS_ZERO = 0  # of a TIFF's photometric interpretation
LIGHT = 127.5  # a background above this is light
EXP_HALF = 0.6065306597126334  # exp(-1/2), in the last digit of which processors differ

Size = tuple[int, int]  # width and height


def read(path: Path, description: Description) -> NDArray[np.uint8]:
    """Return the picture in a file as an image of the data set, uint8 of its shape.

    A picture that has the size of the images is taken for one that was made so already: it is left
    as it is, except that `garment` negates it where its background is light.

    Raises:
        PipelineError: the file is missing, or is not a complete picture of a format and size
            that are allowed.
    """
    size = description.width, description.height
    picture = _decode(path, None if description.preparation == "garment" else 2 * max(size))
    toned = picture.convert("L" if description.channels == 1 else "RGB")
    match description.preparation:
        case "fit":
            return np.asarray(_fit(toned, size))
        case "crop":
            return np.asarray(ImageOps.fit(toned, size, Image.Resampling.BILINEAR))
        case "garment":
            if toned.size == size:
                pixels = np.asarray(toned)
                return 255 - pixels if _background(picture.convert("L")) > LIGHT else pixels
            outline = _outline(picture)
            if outline is None:
                raise PipelineError(f"{path} shows nothing but its background")
            shrunk = _shrink(toned.crop(outline), size)
            garment = _sharpen(_level(shrunk, _background(toned)))
            return _centre(garment.round().clip(0, 255).astype(np.uint8), size)


def frames(path: Path) -> int:
    """Return of how many pictures the one that `read` takes is the first.

    Raises:
        PipelineError: as `read`.
    """
    with _opened(path) as image:
        return int(getattr(image, "n_frames", 1))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture for the block that decodes it."""
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
            what = "a folder" if path.is_dir() else "not a regular file"
            raise PipelineError(f"{path} is {what}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # faulty metadata that nobody needs here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except PipelineError:
        raise
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing") from None
    except UnidentifiedImageError:
        raise PipelineError(f"{path} is not a {NAMES} picture") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PipelineError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, which are the most allowed"
        ) from None
    except Exception as error:  # decoders of damaged files raise anything
        raise PipelineError(f"{path} cannot be read: {one_line(error)}") from error


def _decode(path: Path, edge: int | None) -> Image.Image:
    """Return the picture (the first, of several) upright, in RGB, nowhere transparent.

    A cut-out is laid on white, as a shop would show it, and on black only where it is all white.

    A JPEG whose edges need to be no longer than `edge` is decoded at a half, a quarter or an eighth
    of its size, if they are no shorter then: 12 megapixels take 0.03 s in place of 0.18 s.
    """
    with _opened(path) as image:
        if edge is not None:
            image.draft(None, (edge, edge))
        # Colours of 16 bits, which Pillow cuts off after 8.
        deep = ";16" in str(getattr(image, "tile", ""))
        ImageOps.exif_transpose(image, in_place=True)  # loads it, too
        if image.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
            image = _eight_bits(image)
        elif deep and 0 < np.asarray(image.convert("L")).max() < 64:
            raise ValueError("its colours use 14 or fewer of their 16 bits; save it with 8")
        elif image.mode in ("I", "F"):
            raise ValueError("its pixels have 32 bits; allowed are 8 and 16 a channel")
        if not image.has_transparency_data:
            return image.convert("RGB")
        on_white = _laid_on("white", image)
        return on_white if _outline(on_white) else _laid_on("black", image)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale greys of 8, 10, 12, 14 or 16 bits, whichever the brightest needs, to 8."""
    pixels = np.asarray(image)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO:
        pixels = 65535 - pixels  # which Pillow does for 8 bits alone
    bits = max(8, int(pixels.max()).bit_length() + 1 & ~1)
    scaled: NDArray[np.float64] = np.round(pixels * (255 / (2**bits - 1)))
    greys = Image.fromarray(scaled.astype(np.uint8))
    if "transparency" in image.info:  # the grey that is
        greys.putalpha(Image.fromarray(pixels != image.info["transparency"]))
    return greys


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


def _within(size: Size, image: Image.Image) -> Size:
    """Return the largest size of the image's proportions that `size` has room for."""
    scale = min(new / old for new, old in zip(size, image.size, strict=True))
    width, height = (max(1, round(edge * scale)) for edge in image.size)
    return width, height


def _fit(image: Image.Image, size: Size) -> Image.Image:
    inner = image.resize(_within(size, image), Image.Resampling.BILINEAR)
    canvas = Image.new(image.mode, size, tuple(_background(image).astype(int).tolist()))
    canvas.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
    return canvas


def _shrink(image: Image.Image, size: Size) -> NDArray[np.float64]:
    """Bring the image to the size, averaging over each new pixel's area."""
    return np.asarray(image.resize(_within(size, image), Image.Resampling.BOX), np.float64)


def _sharpen(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sharpen with a Gaussian of radius and standard deviation 1, as the paper says.

    The kernel is that of ImageMagick's `-sharpen 1x1`, whose words the paper uses: the Gaussian's
    negative, with twice its sum in the middle, scaled to keep an even area as it is.
    """
    from scipy import ndimage  # half a second to import, and seldom needed

    gaussian = np.array([EXP_HALF, 1, EXP_HALF])
    kernel = -np.outer(gaussian, gaussian)
    kernel[1, 1] = -2 * kernel.sum()
    weights = (kernel / kernel.sum()).reshape(3, 3, *[1] * (pixels.ndim - 2))  # each channel alone
    return ndimage.convolve(pixels, weights, mode="nearest")


def _level(pixels: NDArray[np.float64], background: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each channel is from the background, the farthest that could be as 255."""
    return 255 * abs(pixels - background) / np.maximum(background, 255 - background)


def _centre(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    width, height = size
    margins = [height - len(pixels), width - len(pixels[0]), *[0] * (pixels.ndim - 2)]
    return np.pad(pixels, [(margin // 2, margin - margin // 2) for margin in margins])
