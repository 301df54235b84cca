"""Pictures become like those of the dataset, and those of the dataset stay as they are."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from pipeline.core.errors import PipelineError
from pipeline.data import pictures, synthetic
from pipeline.data.dataset import Description

IMAGES, _ = synthetic.draw(20, np.random.default_rng(0))
ORIENTATION = 0x0112  # the EXIF tag
WIDE = np.zeros((28, 28), np.uint8)  # twice as wide as it is high
WIDE[7:21] = 255


def like(preparation: str, height: int, width: int, channels: int) -> Description:
    shape = {"height": height, "width": width, "channels": channels}
    return synthetic.DESCRIPTION.model_copy(update={"preparation": preparation, **shape})


GARMENT = like("garment", 28, 28, 1)


def read_saved(
    image: Image.Image, path: Path, description: Description = GARMENT, **options: object
) -> NDArray[np.uint8]:
    image.save(path, **options)  # type: ignore[arg-type]
    pixels = pictures.read(path, description)
    assert pixels.dtype == np.uint8
    assert pixels.shape == description.shape
    return pixels


def garment(colour: str, background: str, size: tuple[int, int] = (600, 800)) -> Image.Image:
    """A rectangle of 400 by 200 pixels, off the centre of the canvas."""
    image = Image.new("RGB", size, background)
    image.paste(colour, (50, 70, 450, 270))
    return image


@pytest.mark.parametrize("pixels", IMAGES)
def test_an_image_of_the_dataset_is_left_as_it_is(
    pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    """However it is saved; and one on white is negated, no more."""
    image = Image.fromarray(pixels)
    for mode in ("L", "RGB", "RGBA", "LA", "P"):
        saved = read_saved(image.convert(mode), tmp_path / "image.png")
        np.testing.assert_array_equal(saved, pixels, mode)
    deep = Image.fromarray(pixels.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_saved(deep, tmp_path / "deep.png"), pixels)
    np.testing.assert_array_equal(read_saved(image, tmp_path / "image.webp", lossless=True), pixels)
    on_white = Image.fromarray(255 - pixels)
    np.testing.assert_array_equal(read_saved(on_white, tmp_path / "white.png"), pixels)
    for mode in ("L", "RGB", "CMYK"):
        saved = read_saved(image.convert(mode), tmp_path / "image.jpg", quality=100)
        np.testing.assert_allclose(saved.astype(int), pixels, atol=6, err_msg=mode)


def test_all_official_images_are_taken_for_dark_on_black(real_data: Path) -> None:
    """The rule for the background, at the source: none of the 70,000 is negated."""
    from pipeline.data import idx

    for name in ("train", "t10k"):
        images = idx.read(real_data / f"{name}-images-idx3-ubyte.gz", dimensions=3)
        corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
        assert np.median(corners, axis=1).max() <= 51.5 < pictures.LIGHT


@pytest.mark.parametrize(
    ("colour", "background"),
    [
        ("black", "white"),
        ("black", "#dddddd"),
        ("white", "black"),
        ("white", "#222222"),
        ("white", "#7f7f7f"),
        ("black", "#808080"),
    ],
)
def test_it_is_trimmed_shrunk_centred_and_light_on_black(
    colour: str, background: str, tmp_path: Path
) -> None:
    image = garment(colour, background)
    for file in ("image.png", "image.webp", "image.jpg"):
        saved = read_saved(image, tmp_path / file, quality=95)
        np.testing.assert_allclose(saved.astype(int), WIDE, atol=3, err_msg=file)
    upright = read_saved(image.transpose(Image.Transpose.ROTATE_90), tmp_path / "image.png")
    np.testing.assert_array_equal(upright, WIDE.T)


def test_colours_as_light_as_each_other_are_told_apart(tmp_path: Path) -> None:
    """What is trimmed is seen in colour; only its speck of white is seen in grey."""
    image = garment("#ff0000", "#008200")  # both 76 in grey
    image.paste("white", (240, 160, 260, 180))
    light = np.argwhere(read_saved(image, tmp_path / "image.png") > 0)
    assert light.min() >= 12
    assert light.max() <= 15


@pytest.mark.parametrize(("shade", "trimmed"), [(255 - 12, True), (255 - 13, False)])
def test_what_is_within_5_percent_of_the_background_is_trimmed(
    shade: int, trimmed: bool, tmp_path: Path
) -> None:
    image = garment("black", "white")
    image.paste((255, shade, 255), (50, 400, 450, 470))
    pixels = read_saved(image, tmp_path / "image.png")
    assert np.array_equal(pixels, WIDE) is trimmed


def test_it_is_sharpened(tmp_path: Path) -> None:
    """Beside a step the difference grows by what ImageMagick's 3 by 3 kernel gives."""
    image = Image.new("L", (280, 280), 155)
    image.paste(55, (0, 0, 280, 140))
    canvas = Image.new("L", (400, 400), 255)
    canvas.paste(image, (60, 60))
    pixels = read_saved(canvas, tmp_path / "image.png")
    # The Gaussian's weights at distances 0, 1 and the square root of 2.
    middle, side, corner = np.exp([0, -0.5, -1])
    beside = (side + 2 * corner) / (middle + 4 * side + 4 * corner + 1)
    assert pixels[:13].tolist() == [[200] * 28] * 13
    assert pixels[15:].tolist() == [[100] * 28] * 13
    np.testing.assert_allclose(pixels[13], 200 + 100 * beside, atol=0.5)
    np.testing.assert_allclose(pixels[14], 100 - 100 * beside, atol=0.5)


def test_new_pixels_average_their_area(tmp_path: Path) -> None:
    """Thin stripes become grey, wherever they lie."""
    image = Image.new("L", (400, 400), 255)
    image.paste(Image.fromarray(np.tile(np.array([0, 255], np.uint8), (280, 140))), (60, 60))
    inside = read_saved(image, tmp_path / "image.png")[:, 1:-1]
    np.testing.assert_allclose(inside.astype(int), 127, atol=30)


def test_a_garment_may_cover_a_corner(tmp_path: Path) -> None:
    image = garment("black", "white").crop((50, 70, 600, 800))
    np.testing.assert_array_equal(read_saved(image, tmp_path / "image.png"), WIDE)


@pytest.mark.parametrize("colour", ["black", "grey", "#f2f2f2", "white"])
@pytest.mark.parametrize("file", ["image.png", "image.webp"])
def test_a_cut_out_is_as_on_white_or_on_black_where_it_is_all_white(
    tmp_path: Path, colour: str, file: str
) -> None:
    image = garment(colour, "red").convert("RGBA")
    image.putalpha(garment("white", "black").convert("L"))
    expected = garment(colour, "black" if colour == "white" else "white")
    np.testing.assert_array_equal(
        read_saved(image, tmp_path / file, lossless=True),
        read_saved(expected, tmp_path / "expected.png"),
    )


def test_a_cut_out_is_what_it_is_on_white(real_data: Path, tmp_path: Path) -> None:
    """Whichever way it is saved.

    The model of the default parameters is right about 0.867 of the first 300 test images, on white
    and cut out; when mean brightness chose the background, it was about 0.680 of the cut-outs.
    """
    from pipeline.data import idx

    images = idx.read(real_data / "t10k-images-idx3-ubyte.gz", dimensions=3)[:100]
    for row, pixels in enumerate(255 - images):
        image = Image.fromarray(pixels).resize((140, 140), Image.Resampling.NEAREST)
        white = Image.new("L", (200, 200), 255)
        white.paste(image, (30, 30))
        expected = read_saved(white, tmp_path / "white.png")
        alpha = white.point([255] * 255 + [0])
        grey_alpha = Image.merge("LA", (white, alpha))
        mode, transparency = (("RGBA", None), ("LA", None), ("P", 255), ("L", 255))[row % 4]
        if transparency is None:
            cut_out = grey_alpha.convert(mode)
        else:
            cut_out = white.convert(mode)
            cut_out.info["transparency"] = transparency
        saved = read_saved(cut_out, tmp_path / "cut out.png")
        np.testing.assert_array_equal(saved, expected, f"{row}, {mode}")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_greys_are_scaled_by_what_the_picture_holds(bits: int, tmp_path: Path) -> None:
    """A camera's 12 bits in a PNG of 16 would otherwise be all but black."""
    image = garment("#404040", "white").convert("L")
    deep = np.round(np.asarray(image) / 255 * (2**bits - 1)).astype(np.uint16)
    np.testing.assert_array_equal(
        read_saved(Image.fromarray(deep), tmp_path / "deep.png"),
        read_saved(image, tmp_path / "image.png"),
    )


@pytest.mark.parametrize("bits", [8, 16])
def test_white_may_be_zero_in_a_tiff(bits: int, tmp_path: Path) -> None:
    """Written by hand, as Pillow cannot: source, TIFF 6.0, sections 2 and 4."""
    pixels = IMAGES[0]
    data = (255 - pixels).astype(np.uint8) if bits == 8 else (65535 - pixels * np.uint16(257))
    height, width = pixels.shape
    shorts = {256: width, 257: height, 258: bits, 259: 1, 262: 0, 273: 122, 277: 1, 278: height}
    tags = shorts | {279: data.nbytes}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    (tmp_path / "white.tif").write_bytes((header + entries).ljust(122, b"\0") + data.tobytes())
    read = pictures.read(tmp_path / "white.tif", like("fit", 28, 28, 1))
    np.testing.assert_array_equal(read, pixels)


def test_nothing_but_what_is_transparent(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="shows nothing but its background"):
        read_saved(Image.new("RGBA", (300, 300), (0, 0, 0, 0)), tmp_path / "image.png")


def test_transparent_in_a_palette(tmp_path: Path) -> None:
    palette = garment("red", "black").quantize(2)
    clear = palette.getpixel((0, 0))
    pixels = read_saved(palette, tmp_path / "palette.png", transparency=clear)
    assert (pixels[WIDE > 0] == pixels[14, 14]).all()
    assert 0 < pixels[14, 14] < 255
    assert (pixels[WIDE == 0] == 0).all()


@pytest.mark.parametrize(
    ("orientation", "to_upright"),
    [
        (3, Image.Transpose.ROTATE_180),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_270),
    ],
)
@pytest.mark.parametrize("file", ["image.jpg", "image.png", "image.webp", "image.tif"])
def test_it_is_turned_as_the_camera_says(
    orientation: int, to_upright: Image.Transpose, file: str, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.fromarray(255 - IMAGES[0]).resize((280, 280))
    turned = read_saved(image, tmp_path / file, exif=exif, quality=100)
    upright = read_saved(image.transpose(to_upright), tmp_path / "upright.png")
    np.testing.assert_allclose(turned.astype(int), upright, atol=12)
    assert not np.array_equal(turned, read_saved(image, tmp_path / "image.png"))


@pytest.mark.parametrize("file", ["image.webp", "image.png", "image.tif"])
def test_of_an_animation_it_is_the_first_picture(file: str, tmp_path: Path) -> None:
    first, second = garment("black", "white"), garment("black", "white").rotate(90, expand=False)
    pixels = read_saved(
        first, tmp_path / file, save_all=True, append_images=[second], lossless=True
    )
    np.testing.assert_array_equal(pixels, WIDE)
    assert pictures.frames(tmp_path / file) == 2
    read_saved(first, tmp_path / file)
    assert pictures.frames(tmp_path / file) == 1


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 3), (1, 3000), (3000, 1), (28, 27)])
def test_any_size_will_do(size: tuple[int, int], tmp_path: Path) -> None:
    image = Image.new("L", size, 255)
    with pytest.raises(PipelineError, match=r"blank.png shows nothing but its background"):
        read_saved(image, tmp_path / "blank.png")
    if max(size) > 2:
        width, height = size
        image.paste(0, (width // 4, height // 4, max(1, width * 3 // 4), max(1, height * 3 // 4)))
        assert read_saved(image, tmp_path / "dark.png").max() == 255


def test_faulty_metadata_is_no_matter(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    image = garment("black", "white")
    cut_off = b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12"
    pixels = read_saved(image, tmp_path / "image.jpg", exif=cut_off, quality=95)
    np.testing.assert_allclose(pixels.astype(int), WIDE, atol=3)
    assert not recwarn.list


def refused(path: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        pictures.read(path, GARMENT)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert message.isprintable()
    return message.removeprefix(f"{path} ")


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere.png") == "is missing"
    assert refused(tmp_path) == "is a folder"
    os.mkfifo(tmp_path / "pipe.png")
    assert refused(tmp_path / "pipe.png") == "is not a regular file"
    assert refused(tmp_path / ("long" * 100)).startswith("cannot be read: ")
    (tmp_path / "empty.png").touch()
    assert refused(tmp_path / "empty.png") == "is not a PNG, JPEG, WebP, BMP or TIFF picture"
    (tmp_path / "text.jpg").write_text("no picture")
    assert refused(tmp_path / "text.jpg") == "is not a PNG, JPEG, WebP, BMP or TIFF picture"
    garment("black", "white").save(tmp_path / "other.gif")
    assert refused(tmp_path / "other.gif") == "is not a PNG, JPEG, WebP, BMP or TIFF picture"


@pytest.mark.parametrize("file", ["image.jpg", "image.png", "image.webp", "image.bmp", "image.tif"])
def test_a_damaged_picture_is_refused(file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert refused(path).startswith("cannot be read: ")
    if path.suffix == ".png":
        first, second, *rest = content.split(b"IDAT")
        path.write_bytes(b"IDAT".join([first, second + b"ID\0T" + rest[0], *rest[1:]]))
        assert refused(path).startswith("cannot be read: ")


def test_bombs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    for edge in (9_500, 14_000):  # Pillow warns of the first and raises an error for the second
        Image.new("1", (edge, edge)).save(path)
        assert refused(path) == "has more than 89,478,485 pixels, which are the most allowed"
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "a" * 2**21, zip=True)
    garment("black", "white").save(path, pnginfo=text)
    assert refused(path).startswith("cannot be read: ")


RED, BLUE = (200, 30, 40), (20, 60, 220)


def halves(width: int, height: int) -> Image.Image:
    """Red above blue."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (0, height // 2, width, height))
    return image


@pytest.mark.parametrize("preparation", ["fit", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_right_size_stays(preparation: str, channels: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    pixels = noise if channels == 3 else noise[..., 0]
    description = like(preparation, 20, 30, channels)
    for file in ("image.png", "image.bmp", "image.tif"):
        saved = read_saved(Image.fromarray(pixels), tmp_path / file, description)
        np.testing.assert_array_equal(saved, pixels, file)


@pytest.mark.parametrize("preparation", ["fit", "crop"])
@pytest.mark.parametrize("size", [(1600, 1200), (300, 2000), (57, 56)])
def test_a_large_jpeg_is_what_it_is_as_png(
    preparation: str, size: tuple[int, int], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    description = like(preparation, 28, 28, 3)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    options = {"quality": 100, "subsampling": 0}
    image.save(tmp_path / "a.jpg", exif=exif, **options)  # type: ignore[arg-type]
    jpeg = pictures.read(tmp_path / "a.jpg", description)
    png = read_saved(image, tmp_path / "a.png", description, exif=exif)
    np.testing.assert_allclose(jpeg.astype(int), png, atol=12)


def test_fit_pads_with_the_background(tmp_path: Path) -> None:
    """The median of the corners, here those of the lower half and one that is odd."""
    image = halves(40, 80)
    image.paste(BLUE, (0, 0, 1, 1))
    fitted = read_saved(image, tmp_path / "image.png", like("fit", 16, 16, 3))
    assert (fitted[:, :4] == BLUE).all()
    assert (fitted[:, 12:] == BLUE).all()
    assert (fitted[1:7, 4:12] == RED).all()
    assert (fitted[9:, 4:12] == BLUE).all()
    across = read_saved(halves(80, 40), tmp_path / "image.png", like("fit", 16, 16, 3))
    assert (across[5:7] == RED).all()
    assert (across[9:11] == BLUE).all()


def test_crop_fills_the_image_and_keeps_its_middle(tmp_path: Path) -> None:
    image = Image.new("RGB", (160, 40), "white")
    image.paste(halves(40, 40), (60, 0))
    cropped = read_saved(image, tmp_path / "image.png", like("crop", 16, 16, 3))
    assert (cropped[:7, 1:15] == RED).all()
    assert (cropped[9:, 1:15] == BLUE).all()
    assert (cropped[:7, 0] < 100).any(axis=1).all(), "next to nothing of the white"


@pytest.mark.parametrize("preparation", ["fit", "crop"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (5, 3), (28, 27)])
def test_any_size_and_proportions_will_do(
    preparation: str, size: tuple[int, int], tmp_path: Path
) -> None:
    image = Image.new("RGB", size, RED)
    pixels = read_saved(image, tmp_path / "image.png", like(preparation, 28, 32, 3))
    assert (pixels == RED).all()


def test_garment_in_colour_is_each_channel_against_the_background(tmp_path: Path) -> None:
    """On white it is the negative, as the paper has it of grey."""
    image = garment("#c81e28", "white")
    pixels = read_saved(image, tmp_path / "image.png", like("garment", 28, 28, 3))
    np.testing.assert_array_equal(pixels, (WIDE[..., None] > 0) * (255 - np.array(RED)))
    small = read_saved(image, tmp_path / "image.png", like("garment", 20, 40, 1))
    assert (small.sum(axis=0) > 0).all()
    assert (small.sum(axis=1) > 0).all()


@pytest.mark.parametrize("preparation", ["fit", "crop", "garment"])
@pytest.mark.parametrize("mode", ["RGB", "CMYK", "P", "RGBA", "L", "LA", "1", "I;16"])
def test_pictures_of_every_kind_are_as_they_look(
    preparation: str, mode: str, tmp_path: Path
) -> None:
    """Black on white, in whichever way that is stored."""
    image = garment("black", "white")
    description = like(preparation, 28, 28, 3)
    expected = read_saved(image, tmp_path / "expected.png", description)
    if mode == "I;16":
        deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
        stored = Image.fromarray(deep)
    else:
        stored = image.convert(mode)
    if mode.endswith("A"):
        stored.putalpha(garment("white", "black").convert("L"))  # clear where it was white
    files = {"CMYK": ("a.jpg", "a.tif"), "1": ("a.png", "a.bmp", "a.tif"), "LA": ("a.png",)}
    for file in files.get(mode, ("a.png", "a.tif")):
        stored.save(tmp_path / file, quality=100 if file == "a.jpg" else None)
        saved = pictures.read(tmp_path / file, description)
        np.testing.assert_allclose(saved.astype(int), expected, atol=3, err_msg=file)


def write_png(path: Path, pixels: NDArray[np.uint16], colour_type: int, clear: bytes = b"") -> None:
    """Write a PNG of 16 bits a channel, as Pillow cannot: source, the PNG specification."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [chunk(b"IHDR", header), chunk(b"tRNS", clear) if clear else b""]
    chunks += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize("colour_type", [2, 6])
def test_deep_colours_are_scaled_or_refused(colour_type: int, tmp_path: Path) -> None:
    """Pillow reads the higher 8 bits of 16; of a camera's 12 they would be all but black."""
    image = garment("#c81e28", "white").convert("RGB" if colour_type == 2 else "RGBA")
    deep = np.asarray(image).astype(np.uint16) * 257
    write_png(tmp_path / "deep.png", deep, colour_type)
    description = like("fit", 28, 28, 3)
    np.testing.assert_array_equal(
        pictures.read(tmp_path / "deep.png", description),
        read_saved(image, tmp_path / "image.png", description),
    )
    deep[..., :3] >>= 4
    write_png(tmp_path / "deep.png", deep, colour_type)
    assert refused(tmp_path / "deep.png") == (
        "cannot be read: its colours use 14 or fewer of their 16 bits; save it with 8"
    )


def test_a_deep_grey_may_be_transparent(tmp_path: Path) -> None:
    deep = np.asarray(garment("#808080", "black").convert("L")).astype(np.uint16) * 257
    write_png(tmp_path / "deep.png", deep, 0, clear=b"\0\0")
    expected = read_saved(garment("#808080", "white"), tmp_path / "image.png")
    np.testing.assert_array_equal(pictures.read(tmp_path / "deep.png", GARMENT), expected)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(mode: str, tmp_path: Path) -> None:
    garment("black", "white").convert("L").convert(mode).save(tmp_path / "image.tif")
    assert refused(tmp_path / "image.tif") == (
        "cannot be read: its pixels have 32 bits; allowed are 8 and 16 a channel"
    )
