"""Pages of exported runs, read as a browser reads them; scripts/browse.py opens them in one."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import onnxruntime
import pytest
from PIL import Image, ImageOps
from zoo_page.export import MODEL, page

import zoo_core
from zoo_core import FinetuneConfig, Preprocessing, Transform, export_run
from zoo_core.testing import make_photos

HOSTILE = '"><img src=x onerror=alert(1)>&amp;</script>'.replace("/", "-")
NODE = shutil.which("node")
THIRDS = [(size, 0.875, how, fit) for size in (20, 33) for how in ("bilinear", "bicubic") for fit in ("crop", "pad")]
WAYS = [*THIRDS, (32, 1.0, "bilinear", "squash"), (32, 0.9, "nearest", "crop")]
SIZES = [(61, 40), (40, 61), (33, 33), (20, 19), (500, 13), (7, 90)]


class Tags(HTMLParser):
    """The tags of a page, and its scripts by their ids."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.scripts = [], [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.now = dict(attrs).get("id", str(len(self.tags)))
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        if self.tags and self.cdata_elem == "script":
            self.scripts[self.now] = self.scripts.get(self.now, "") + data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    photos = make_photos(root / "photos", classes=("blue", HOSTILE), count=10)
    config = FinetuneConfig(backbone="lenet5", data=str(photos), epochs=1, out=str(root / "run"))
    return zoo_core.finetune(config).directory


def test_a_page_is_one_file_that_answers_as_the_run_and_asks_no_address(run):
    made = export_run(run, "page")
    assert made.path == run / "model.html"
    assert made.difference < 1e-5
    text = made.path.read_text()
    found = Tags(text)
    assert not any(found.addresses)
    assert "<img src=x" not in text
    assert json.loads(found.scripts["facts"])["classes"] == list(zoo_core.load(run, device="cpu").classes)
    assert MODEL.search(text)[1] == found.scripts["model"]
    assert "default-src 'none'" in text
    assert "connect-src" not in text, "the default forbids every connection"


def test_a_head_whose_gradient_onnx_lacks_has_a_page_without_a_map(tmp_path):
    photos = make_photos(tmp_path / "photos", count=10)
    config = FinetuneConfig(
        backbone="lenet5", head="linear:pool=max", size=64, data=str(photos), epochs=1, out=str(tmp_path / "run")
    )
    made = export_run(zoo_core.finetune(config).directory, "page")
    network = onnxruntime.InferenceSession(base64.b64decode(MODEL.search(made.path.read_text())[1]))
    assert [one.name for one in network.get_outputs()] == ["answers"]


def test_the_page_has_every_part_and_no_mark_of_its_template_is_left():
    text = page({"classes": ["@MODEL@", "</script>"]}, b"a network")
    assert not re.search(r"@[A-Z]+@", text.replace('"@MODEL@"', ""))
    assert text.count("</script>") == 9


@pytest.mark.skipif(NODE is None, reason="node is not here to run the page's script")
@pytest.mark.parametrize(("size", "crop", "how", "fit"), WAYS)
def test_the_page_resizes_as_zoo_does(tmp_path, size, crop, how, fit):
    """To the byte; where both sides shrink by other factors, Pillow 13 may take the rows first and round otherwise."""
    preprocessing = Preprocessing(
        size=size, crop=crop, interpolation=how, fit=fit, mean=(0.5, 0.25, 0.1), std=(1.0, 1.0, 1.0)
    )
    generator, given, expected = np.random.default_rng(0), [], []
    for width, height in SIZES:
        pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
        given.append({"width": width, "height": height, "data": np.dstack([pixels, pixels[..., :1]]).ravel().tolist()})
        plain = Transform(preprocessing)(Image.fromarray(pixels)).numpy() + np.array(preprocessing.mean)[:, None, None]
        expected.append((plain * 255).round().astype(int).reshape(3, -1).tolist())
    facts = {"size": size, "crop": crop, "interpolation": how, "fit": fit, "mean": preprocessing.mean}
    (tmp_path / "given.json").write_text(json.dumps({"images": given, "facts": facts}))
    code = files("zoo_page").joinpath("resources", "resize.js").read_text()
    code += """
        const { images, facts } = JSON.parse(require("fs").readFileSync(process.argv[2]));
        const made = images.map(({ width, height, data }) =>
          squareOf(planesOf(data, width, height), facts).planes.map((plane) => Array.from(plane)));
        console.log(JSON.stringify(made));
    """
    (tmp_path / "run.js").write_text(code)
    done = subprocess.run([NODE, tmp_path / "run.js", tmp_path / "given.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    difference = np.abs(np.array(json.loads(done.stdout)) - np.array(expected)).max()
    assert difference <= (0 if fit == "crop" else 1)


@pytest.mark.skipif(NODE is None, reason="node is not here to run the page's script")
def test_one_channel_is_pillows_brightness(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    data = np.dstack([pixels, pixels[..., :1]]).ravel().tolist()
    code = files("zoo_page").joinpath("resources", "resize.js").read_text()
    (tmp_path / "run.js").write_text(
        f"{code}\nconsole.log(Array.from(withChannels(planesOf({data}, 11, 9), 1).planes[0]).join())"
    )
    done = subprocess.run([NODE, tmp_path / "run.js"], capture_output=True, text=True, check=True)
    assert [int(one) for one in done.stdout.split(",")] == list(Image.fromarray(pixels).convert("L").tobytes())


@pytest.mark.skipif(NODE is None, reason="node is not here to run the page's script")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_browser_without_a_decoder_of_parts_takes_means_of_pixels(tmp_path, orientation):
    """They are those of Pillow's decoder but for roundings, in every orientation, of a size that no block divides."""
    coarse = Image.fromarray(np.random.default_rng(0).integers(60, 200, (6, 5), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "large.jpg"
    coarse.resize((137, 151), Image.Resampling.BICUBIC).save(file, exif=exif, quality=95)
    whole = ImageOps.exif_transpose(Image.open(file))
    small = Image.open(file)
    small.draft("L", (34, 34))
    expected = np.asarray(ImageOps.exif_transpose(small), int)
    code = "".join(files("zoo_page").joinpath("resources", name).read_text() for name in ("resize.js", "jpeg.js"))
    given = {"width": whole.width, "height": whole.height, "plane": np.asarray(whole).ravel().tolist()}
    code += f"""
        const {{ width, height, plane }} = {json.dumps(given)};
        const bytes = new Uint8Array(require("fs").readFileSync(process.argv[2]));
        asDecoded({{ width, height, planes: [plane] }}, bytes, {{ size: 17, crop: 1 }}).then(
          (made) => console.log(JSON.stringify([made.width, made.height, Array.from(made.planes[0])])));
    """
    (tmp_path / "run.js").write_text(code.replace('"use strict";', ""))
    done = subprocess.run([NODE, tmp_path / "run.js", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made_width, made_height, made = json.loads(done.stdout)
    assert (made_height, made_width) == expected.shape
    found = np.array(made).reshape(expected.shape)
    edge = np.abs(found - expected)
    assert edge[1:-1, 1:-1].max() <= 1
    assert edge.max() <= 4, "blocks at the end go on beyond the photo"


@pytest.mark.skipif(NODE is None, reason="node is not here to run the page's script")
def test_numbers_have_the_digits_of_zoo_predict(tmp_path):
    """Seen to fail: of two times in seconds both were 1.700e+9, and 12345 was 1.234e+4."""
    values = [1_700_000_059.46, 1_700_000_039, 12345, 12345.678, 0.123456789, -2.5, 0, 999999.4, -1234567.25]
    code = files("zoo_page").joinpath("resources", "page.js").read_text()
    function = re.search(r"^function numberText.*?^}", code, re.DOTALL | re.MULTILINE)[0]
    (tmp_path / "run.js").write_text(f"{function}\nconsole.log(JSON.stringify({values}.map(numberText)))")
    done = subprocess.run([NODE, tmp_path / "run.js"], capture_output=True, text=True, check=True)
    shown = [f"{value:.6g}" if abs(value) < 1e6 else f"{value:.12g}" for value in values]
    assert json.loads(done.stdout) == shown
    assert shown[:3] == ["1700000059.46", "1700000039", "12345"]
